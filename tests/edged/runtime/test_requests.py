"""The way of a request: results, order, deadlines, Busy, cancel, batches."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import numpy as np
import pytest

from edged.runtime.errors import BadSlotError, BusyError
from edged_ipc.codes import Code
from sim.fake_backend import FakeBackend
from support.runtime_bench import Bench, ask, expected, got, put
from support.small_models import chain, mixed

Make = Callable[..., Bench]
RNG = np.random.default_rng(3)


def test_one_request(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    model = chain()
    bench.load("m", model)
    session = bench.open("m")
    x = RNG.integers(-128, 128, (1, 8)).astype(np.int8)
    put(session, x)
    answer = ask(bench, session)
    assert answer.wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, x))


def test_split_between_devices(make_bench: Make) -> None:
    """A device that refuses an op hands over, and the result is that of one device."""
    npu = FakeBackend("npu", microseconds=1, refuses=["average_pool_2d"])
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), npu)
    model = mixed()
    entry = bench.load("m", model)
    assert [s.device.name for s in entry.current.steps] == ["cpu", "npu"]
    session = bench.open("m")
    for _ in range(5):
        x = RNG.integers(-128, 128, (1, 4, 4, 2)).astype(np.int8)
        put(session, x)
        assert ask(bench, session).wait() is Code.OK
        np.testing.assert_array_equal(got(session), expected(model, x))


def _blocked(make_bench: Make, slots: int, **options: object) -> tuple[Bench, FakeBackend, object]:
    """A device whose gate is shut, busy with a first request, so that what follows queues up."""
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend, **options)
    bench.load("m", chain())
    session = bench.open("m", slots + 1)
    for slot in range(slots + 1):
        put(session, np.full((1, 8), slot, np.int8), slot)
    backend.switch.gate.clear()
    first = ask(bench, session, slot=slots)
    assert backend.switch.entered.acquire(timeout=10)
    return bench, backend, (session, first)


def test_priority_then_deadline(make_bench: Make) -> None:
    bench, backend, (session, first) = _blocked(make_bench, 4)
    now = monotonic()
    answers = [
        ask(bench, session, 0, priority=20),
        ask(bench, session, 1, priority=5, deadline=now + 900),
        ask(bench, session, 2, priority=5, deadline=now + 500),
        ask(bench, session, 3, priority=0),
    ]
    backend.switch.gate.set()
    assert [a.wait() for a in (first, *answers)] == [Code.OK] * 5
    assert backend.switch.order == [4, 3, 2, 1, 0]


def test_a_deadline_that_cannot_be_met_is_not_run(make_bench: Make) -> None:
    bench, backend, (session, first) = _blocked(make_bench, 1)
    answer = ask(bench, session, 0, deadline=monotonic() - 1)
    backend.switch.gate.set()
    assert answer.wait() is Code.DEADLINE_MISSED
    assert "until the deadline" in answer.text
    assert first.wait() is Code.OK
    assert backend.switch.order == [1]


def test_busy(make_bench: Make) -> None:
    bench, backend, (session, first) = _blocked(make_bench, 3, queue_length=2)
    waiting = [ask(bench, session, 0), ask(bench, session, 1)]
    with pytest.raises(BusyError, match="2 requests waiting"):
        ask(bench, session, 2)
    backend.switch.gate.set()
    assert [a.wait() for a in (first, *waiting)] == [Code.OK] * 3
    assert ask(bench, session, 2).wait() is Code.OK


def test_cancel(make_bench: Make) -> None:
    bench, backend, (session, first) = _blocked(make_bench, 1)
    answer = _Cancelled(bench, session)
    backend.switch.gate.set()
    assert answer.wait() is Code.CANCELLED
    assert first.wait() is Code.OK


def _Cancelled(bench: Bench, session: object) -> object:
    from support.runtime_bench import Answer

    answer = Answer()
    request = bench.registry.submit(session, 7, 0, answer)
    request.cancelled = True
    return answer


def test_slots_are_checked(make_bench: Make) -> None:
    bench, backend, (session, first) = _blocked(make_bench, 1)
    with pytest.raises(BadSlotError, match="in flight"):
        ask(bench, session, 1)
    with pytest.raises(BadSlotError, match="not one of this session's 2"):
        ask(bench, session, 9)
    backend.switch.gate.set()
    assert first.wait() is Code.OK


def test_batches(make_bench: Make) -> None:
    """What waits for one model runs together, and each request gets its own rows."""
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend)
    model = chain()
    bench.load("m", model, batch=4)
    session = bench.open("m", 6)
    inputs = [RNG.integers(-128, 128, (1, 8)).astype(np.int8) for _ in range(6)]
    for slot, x in enumerate(inputs):
        put(session, x, slot)
    backend.switch.gate.clear()
    answers = [ask(bench, session, 0)]
    assert backend.switch.entered.acquire(timeout=10)
    answers += [ask(bench, session, slot) for slot in range(1, 6)]
    backend.switch.gate.set()
    assert [a.wait() for a in answers] == [Code.OK] * 6
    for slot, x in enumerate(inputs):
        np.testing.assert_array_equal(got(session, slot), expected(model, x))
    assert len(backend.switch.order) == 3  # 1, then 4, then 1


def test_a_batch_waits_for_others_but_not_while_other_work_does(make_bench: Make) -> None:
    """A minute, if nothing ended it."""
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend)
    model = chain()
    bench.load("m", model, batch=4)
    bench.load("other", model)
    bench.registry.entries["m"].batch_wait = 60.0
    session, other = bench.open("m", 4), bench.open("other", 1)
    answers = [ask(bench, session, slot) for slot in range(4)]
    assert [a.wait() for a in answers] == [Code.OK] * 4
    assert len(backend.switch.order) == 1
    alone, beside = ask(bench, session, 0), ask(bench, other, 0)
    assert alone.wait() is Code.OK
    assert beside.wait() is Code.OK


def test_a_batch_waits_no_longer_than_a_deadline_allows(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    bench.load("m", chain(), batch=4)
    bench.registry.entries["m"].batch_wait = 60.0
    session = bench.open("m", 1)
    assert ask(bench, session, 0, deadline=monotonic() + 0.5).wait() is Code.OK
