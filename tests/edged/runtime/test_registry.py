"""Models come and go: swap without a lost request, leases, memory budget, eviction, signatures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edged.errors import ModelError
from edged.runtime.entry import EntryState
from edged.runtime.errors import (
    MemoryLimitError,
    ModelNotFoundError,
    ModelUnloadedError,
    SignatureChangedError,
)
from edged.source import Source
from edged_ipc.codes import Code
from sim.fake_backend import FakeBackend
from support.runtime_bench import Bench, ask, expected, got, put
from support.small_models import chain

Make = Callable[..., Bench]
X = np.arange(8, dtype=np.int8)[None]


def _ask(bench: Bench, session: object) -> np.ndarray:
    put(session, X)
    answer = ask(bench, session)
    assert answer.wait() is Code.OK, answer.text
    return got(session)


def test_swap_drains_the_old_version(make_bench: Make) -> None:
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend)
    old, new = chain(seed=1), chain(seed=2)
    entry = bench.load("m", old)
    session = bench.open("m", 2)
    put(session, X, 0)
    put(session, X, 1)
    backend.switch.gate.clear()
    running = ask(bench, session, 0)
    assert backend.switch.entered.acquire(timeout=10)
    bench.registry.swap("m", Source("new", lambda: new))
    after = ask(bench, session, 1)
    first = backend.prepared[0]
    assert not first.closed
    assert entry.version == 2
    backend.switch.gate.set()
    assert (running.wait(), after.wait()) == (Code.OK, Code.OK)
    np.testing.assert_array_equal(got(session, 0), expected(old, X))
    np.testing.assert_array_equal(got(session, 1), expected(new, X))
    assert first.closed
    assert not entry.draining


def test_changed_signature_is_refused_unless_forced(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    bench.load("m", chain(width=8))
    wider = Source("wide", lambda: chain(width=16))
    with pytest.raises(SignatureChangedError, match=r"input x was int8\[1x8\] and is int8\[1x16\]"):
        bench.registry.swap("m", wider)
    assert bench.registry.find("m").version == 1
    bench.registry.swap("m", wider, force=True)
    assert bench.registry.find("m").version == 2


def test_a_failed_swap_leaves_the_old_version(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    model = chain()
    bench.load("m", model)
    session = bench.open("m")

    def broken() -> object:
        raise ModelError("the file is gone")

    with pytest.raises(ModelError, match="gone"):
        bench.registry.swap("m", Source("x", broken))
    np.testing.assert_array_equal(_ask(bench, session), expected(model, X))


def test_unload(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    bench.load("m", chain())
    session = bench.open("m")
    bench.registry.unload("m")
    with pytest.raises(ModelUnloadedError, match="unloaded"):
        ask(bench, session)
    with pytest.raises(ModelNotFoundError, match="loaded: none"):
        bench.open("m")
    assert all(d.closed for d in bench.devices[0].backend.prepared)


def test_two_of_one_name(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    bench.load("m", chain())
    with pytest.raises(ModelError, match="loaded already"):
        bench.load("m", chain())


def test_eviction_takes_the_oldest_that_nobody_uses(make_bench: Make) -> None:
    size = 3 * (64 + 32)
    bench = make_bench(FakeBackend("cpu", trusted=True), memory=2 * size + 10)
    models = {name: chain(seed=i) for i, name in enumerate("abc")}
    bench.load("a", models["a"])
    bench.load("b", models["b"])
    entries = bench.registry.entries
    session = bench.open("a")
    bench.load("c", models["c"])
    assert {n: e.state for n, e in entries.items()} == {
        "a": EntryState.READY,
        "b": EntryState.EVICTED,
        "c": EntryState.READY,
    }
    np.testing.assert_array_equal(_ask(bench, session), expected(models["a"], X))
    again = bench.open("b")  # read again on demand; c goes
    np.testing.assert_array_equal(_ask(bench, again), expected(models["b"], X))
    assert entries["c"].state is EntryState.EVICTED
    with pytest.raises(MemoryLimitError, match="models in use"):
        bench.open("c")
    bench.registry.close(session)
    bench.open("c")
    assert entries["a"].state is EntryState.EVICTED


def test_a_model_over_the_limit(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True), memory=100)
    with pytest.raises(MemoryLimitError, match="the limit of all models is 100"):
        bench.load("m", chain())
    assert not bench.registry.entries
    assert all(d.closed for d in bench.devices[0].backend.prepared)


def test_kept_models_stay(make_bench: Make) -> None:
    size = 3 * (64 + 32)
    bench = make_bench(FakeBackend("cpu", trusted=True), memory=size + 10)
    bench.load("a", chain(), keep=True)
    with pytest.raises(MemoryLimitError):
        bench.load("b", chain())
