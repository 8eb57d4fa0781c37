"""What happens at the same moment: a batch that hangs, a swap between two steps of taking a request, a load while others are served."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
import pytest

from edged.errors import BackendError, EdgedError
from edged.graph.model import Model
from edged.runtime import recovery
from edged.runtime.device import DeviceState
from edged.runtime.entry import EntryState
from edged.runtime.errors import MemoryLimitError, ModelUnloadedError
from edged.runtime.loading import Demand
from edged.runtime.session import ClientSession
from edged.source import Source
from edged_ipc.codes import Code
from sim.fake_backend import FakeBackend
from support.runtime_bench import Bench, ask, expected, got, put
from support.small_models import chain

Make = Callable[..., Bench]
X = np.arange(8, dtype=np.int8)[None]


def _until(condition: Callable[[], bool]) -> None:
    end = monotonic() + 20
    while not condition():
        assert monotonic() < end, "it never came true"


def _batch_under_way(make_bench: Make, **options: object) -> tuple[Bench, FakeBackend, Any, list[Any], list[Any]]:
    """An npu that is at the first of five requests; the other four will be its next batch."""
    npu = FakeBackend("npu", microseconds=1)
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), npu, **options)
    model = chain()
    bench.load("m", model, batch=4)
    session = bench.open("m", 5)
    inputs = [np.full((1, 8), 10 * i, np.int8) for i in range(5)]
    npu.switch.gate.clear()
    for slot, x in enumerate(inputs):
        put(session, x, slot)
    answers = [ask(bench, session, 0)]
    assert npu.switch.entered.acquire(timeout=10)
    answers += [ask(bench, session, slot) for slot in range(1, 5)]
    return bench, npu, session, answers, [expected(model, x) for x in inputs]


def test_every_request_of_a_batch_that_hangs_is_taken_away(make_bench: Make) -> None:
    bench, npu, session, answers, wanted = _batch_under_way(make_bench, hang=0.3)
    npu.switch.well = False
    npu.switch.pass_next = 1
    npu.switch.gate.set()
    assert [a.wait() for a in answers] == [Code.OK] * 5
    assert bench.devices[1].state is DeviceState.HUNG
    for slot, want in enumerate(wanted):
        np.testing.assert_array_equal(got(session, slot), want)
    before = [bytes(slot) for slot in session.slots]
    npu.switch.hold.set()  # the thread that was given up on comes back
    _until(lambda: len(npu.switch.order) == 2)
    assert [bytes(slot) for slot in session.slots] == before
    assert [a.times for a in answers] == [1] * 5


def test_every_request_of_a_batch_that_fails_is_tried_elsewhere(make_bench: Make) -> None:
    _bench, npu, session, answers, wanted = _batch_under_way(make_bench, hang=30)
    npu.switch.pass_next, npu.switch.fail_next, npu.switch.well = 1, 1, False
    npu.switch.hold.set()
    npu.switch.gate.set()
    assert [a.wait() for a in answers] == [Code.OK] * 5
    for slot, want in enumerate(wanted):
        np.testing.assert_array_equal(got(session, slot), want)
    assert [a.times for a in answers] == [1] * 5


def test_a_batch_needs_one_part_in_every_size(make_bench: Make) -> None:
    """A model that is cut between two devices is served one by one, and the log says so."""
    cpu = FakeBackend("cpu", microseconds=100, trusted=True)
    npu = FakeBackend("npu", microseconds=1)
    bench = make_bench(cpu, npu)
    model, lines = chain(), []
    pin = {model.main.nodes[0].outputs[0].name: "cpu"}
    entry = bench.registry.load("m", Source("m", lambda: model), Demand(pin=pin, batch=4, log=lines.append))
    assert len(entry.current.steps) == 2
    assert any("not batched" in line for line in lines)
    session = bench.open("m", 6)
    inputs = [np.full((1, 8), 10 * i, np.int8) for i in range(6)]
    for slot, x in enumerate(inputs):
        put(session, x, slot)
    cpu.switch.gate.clear()
    answers = [ask(bench, session, slot) for slot in range(6)]
    cpu.switch.gate.set()
    assert [a.wait() for a in answers] == [Code.OK] * 6
    for slot, x in enumerate(inputs):
        np.testing.assert_array_equal(got(session, slot), expected(model, x))


def test_a_swap_while_a_request_is_taken(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The version that a request has begun on stays open until it has ended, however early that was."""
    bench = make_bench(FakeBackend("cpu", trusted=True))
    old, new = chain(seed=1), chain(seed=2)
    entry = bench.load("m", old)
    session = bench.open("m")
    put(session, X)
    plain = ClientSession.binding

    def swapped(self: ClientSession, slot: int, loaded: Any) -> Any:
        if entry.version == 1:
            bench.registry.swap("m", Source("new", lambda: new))
        return plain(self, slot, loaded)

    monkeypatch.setattr(ClientSession, "binding", swapped)
    answer = ask(bench, session)
    assert answer.wait() is Code.OK, answer.text
    np.testing.assert_array_equal(got(session), expected(old, X))
    assert not entry.draining


def _slow_source() -> tuple[Source, threading.Event, threading.Event]:
    begun, go = threading.Event(), threading.Event()

    def read() -> Model:
        begun.set()
        assert go.wait(20)
        return chain()

    return Source("slow", read), begun, go


def test_a_request_to_an_unloaded_model_waits_for_no_load(make_bench: Make) -> None:
    """It would be the polling thread of all clients that waits."""
    bench = make_bench(FakeBackend("cpu", trusted=True))
    bench.load("m", chain())
    session = bench.open("m")
    bench.registry.unload("m")
    source, begun, go = _slow_source()
    loader = threading.Thread(target=bench.registry.load, args=("slow", source, Demand()))
    loader.start()
    assert begun.wait(20)
    refused = threading.Event()

    def submit() -> None:
        with pytest.raises(ModelUnloadedError):
            ask(bench, session)
        refused.set()

    threading.Thread(target=submit, daemon=True).start()
    at_once = refused.wait(5)
    go.set()
    loader.join()
    assert at_once


@pytest.mark.parametrize("what", ["fails", "hangs"])
def test_a_device_is_lost_while_another_model_is_loaded(make_bench: Make, what: str) -> None:
    """A vendor's compiler takes minutes; those whose device is lost meanwhile do not wait for it."""
    npu = FakeBackend("npu", microseconds=1)
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), npu, hang=0.2)
    model = chain()
    bench.load("m", model)
    session = bench.open("m")
    put(session, X)
    source, begun, go = _slow_source()
    loader = threading.Thread(target=bench.registry.load, args=("slow", source, Demand()))
    loader.start()
    assert begun.wait(20)
    npu.switch.well = False
    if what == "fails":
        npu.switch.fail_next = 1
    else:
        npu.switch.gate.clear()
    answer = ask(bench, session)
    at_once = answer.ended.wait(5)
    go.set()
    loader.join()
    assert at_once
    assert answer.code is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, X))


def test_a_device_is_lost_while_the_model_itself_is_swapped(make_bench: Make) -> None:
    """Its requests wait for the new version, and hangs of other devices are noticed all the same."""
    npu = FakeBackend("npu", microseconds=1)
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), npu)
    bench.load("m", chain())
    session = bench.open("m")
    put(session, X)
    source, begun, go = _slow_source()
    swapper = threading.Thread(target=bench.registry.swap, args=("m", source))
    swapper.start()
    assert begun.wait(20)
    npu.switch.fail_next, npu.switch.well = 1, False
    answer = ask(bench, session)
    _until(lambda: bench.devices[1].state is DeviceState.DOWN)
    _until(lambda: len(bench.recovery._postponed) == 1)
    go.set()
    swapper.join()
    assert answer.wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(chain(), X))
    assert answer.times == 1


def test_one_of_two_loads_of_a_name_is_refused(make_bench: Make) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    source, begun, go = _slow_source()
    loader = threading.Thread(target=bench.registry.load, args=("m", source, Demand()))
    loader.start()
    assert begun.wait(20)
    with pytest.raises(EdgedError, match="is loaded already"):
        bench.load("m", chain())
    go.set()
    loader.join()
    assert bench.registry.find("m").state is EntryState.READY


def test_a_model_is_unloaded_while_it_is_swapped(make_bench: Make) -> None:
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend)
    bench.load("m", chain())
    source, begun, go = _slow_source()
    failed: list[BaseException] = []

    def swap() -> None:
        try:
            bench.registry.swap("m", source)
        except ModelUnloadedError as error:
            failed.append(error)

    swapper = threading.Thread(target=swap)
    swapper.start()
    assert begun.wait(20)
    bench.registry.unload("m")
    go.set()
    swapper.join()
    assert len(failed) == 1
    assert all(delegate.closed for delegate in backend.prepared)


def test_a_lease_keeps_a_model_from_being_evicted(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is taken at the moment when room is made for another model."""
    bench = make_bench(FakeBackend("cpu", trusted=True))
    entry = bench.load("m", chain())
    plain, sessions = bench.registry.evict, []

    def evict(victim: Any) -> None:
        sessions.append(bench.open("m"))
        plain(victim)

    monkeypatch.setattr(bench.registry, "evict", evict)
    bench.registry.memory_bytes = entry.resident_bytes + 1
    with pytest.raises(MemoryLimitError):
        bench.load("other", chain(seed=3))
    assert entry.state is EntryState.READY
    put(sessions[0], X)
    assert ask(bench, sessions[0]).wait() is Code.OK


def test_a_request_is_answered_though_its_old_version_cannot_be_closed(make_bench: Make) -> None:
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend)
    entry = bench.load("m", chain(seed=1))
    session = bench.open("m")
    put(session, X)
    backend.switch.gate.clear()
    answer = ask(bench, session)
    assert backend.switch.entered.acquire(timeout=10)

    def refuse() -> None:
        raise BackendError("it does not let go")

    backend.prepared[0].close = refuse  # type: ignore[method-assign]
    bench.registry.swap("m", Source("new", lambda: chain(seed=2)))
    backend.switch.gate.set()
    assert answer.wait() is Code.OK
    assert any("it does not let go" in str(line) for line in bench.lines)
    assert ask(bench, session).wait() is Code.OK
    assert not entry.draining


def test_recovery_outlives_what_nobody_expected(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that raises anything at all when a device comes back: the next device that is lost is noticed all the same."""
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    npu = FakeBackend("npu", microseconds=1)
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), npu)
    model, reads = chain(), []

    def read() -> Model:
        reads.append(1)
        if len(reads) == 3:
            raise RuntimeError("the disk is on fire")
        return model

    entry = bench.registry.load("m", Source("m", read), Demand())
    session = bench.open("m")
    put(session, X)
    npu.switch.fail_next = 1
    assert ask(bench, session).wait() is Code.OK
    device = bench.devices[1]
    _until(lambda: any("on fire" in str(line) for line in bench.lines))
    assert device.up
    bench.registry.place_again(entry)
    npu.switch.fail_next = 1
    assert ask(bench, session).wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, X))


def test_a_swap_that_fails_leaves_everything_as_it_was(make_bench: Make) -> None:
    """Also which devices the serving version has left."""
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), FakeBackend("npu", microseconds=1))
    entry = bench.load("m", chain())
    bench.registry.move(entry, bench.devices[1], "it differs")

    def broken() -> Model:
        raise EdgedError("no such file")

    with pytest.raises(EdgedError, match="no such file"):
        bench.registry.swap("m", Source("new", broken))
    bench.registry.place_again(entry)
    assert [s.device.name for s in entry.current.steps] == ["cpu"]


def test_what_waits_for_a_device_that_is_closed_is_answered(make_bench: Make) -> None:
    backend = FakeBackend("cpu", trusted=True)
    bench = make_bench(backend)
    bench.load("m", chain())
    session = bench.open("m", 2)
    backend.switch.gate.clear()
    first = ask(bench, session, 0)
    assert backend.switch.entered.acquire(timeout=10)
    second = ask(bench, session, 1)
    bench.recovery.stop()
    threading.Timer(0.05, backend.switch.gate.set).start()
    bench.devices[0].close()
    bench.registry.shut()
    assert first.wait() is Code.OK
    assert second.wait() is Code.SHUTTING_DOWN


@pytest.mark.parametrize("name", ["", "x" * 257])
def test_names_that_no_client_could_say(make_bench: Make, name: str) -> None:
    bench = make_bench(FakeBackend("cpu", trusted=True))
    with pytest.raises(EdgedError, match="name has 1 to 256 letters"):
        bench.load(name, chain())
