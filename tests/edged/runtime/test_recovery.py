"""Devices that raise, hang, and come back: no request is lost, none gets a wrong answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

import numpy as np
import pytest

from edged.backend import YES, Delegate, PrepareContext, Subgraph, Support
from edged.errors import BackendError, LinkError
from edged.graph.partition import node_bytes
from edged.runtime import recovery
from edged.runtime.device import DeviceState
from edged.runtime.entry import Entry
from edged_ipc.codes import Code
from sim.fake_backend import FakeBackend
from support.runtime_bench import Bench, ask, expected, got, put
from support.small_models import chain

Make = Callable[..., Bench]
X = np.arange(8, dtype=np.int8)[None]


def _pair(make_bench: Make, **options: object) -> tuple[Bench, FakeBackend, FakeBackend]:
    """A slow cpu that can everything, and a fast npu that is not trusted."""
    cpu = FakeBackend("cpu", microseconds=100, trusted=True)
    npu = FakeBackend("npu", microseconds=1)
    return make_bench(cpu, npu, **options), cpu, npu


def _until(condition: Callable[[], bool]) -> None:
    end = monotonic() + 20
    while not condition():
        assert monotonic() < end, "it never came true"


def test_an_error_moves_the_work_and_retries_once(make_bench: Make) -> None:
    bench, _cpu, npu = _pair(make_bench)
    model = chain()
    entry = bench.load("m", model)
    session = bench.open("m")
    put(session, X)
    npu.switch.fail_next, npu.switch.well = 1, False
    answer = ask(bench, session)
    assert answer.wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, X))
    assert answer.times == 1
    assert [s.device.name for s in entry.current.steps] == ["cpu"]
    assert entry.figures.retries == 1
    npu_device = bench.devices[1]
    assert (npu_device.state, npu_device.reason) == (DeviceState.DOWN, "told to fail")
    assert any("device npu is down" in line for line in bench.lines)


def test_readmitted_after_a_probe(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    bench, _cpu, npu = _pair(make_bench)
    model = chain()
    entry = bench.load("m", model)
    session = bench.open("m")
    put(session, X)
    npu.switch.fail_next, npu.switch.well = 1, False
    assert ask(bench, session).wait() is Code.OK
    device = bench.devices[1]
    _until(lambda: device.counters.probes >= 2)
    npu.switch.well = True
    _until(lambda: device.counters.readmissions == 1 and entry.current.steps[0].device is device)
    assert ask(bench, session).wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, X))


def test_a_hang_is_taken_away(make_bench: Make) -> None:
    """The hung thread's late answer goes nowhere; its successor serves."""
    bench, _cpu, npu = _pair(make_bench, hang=0.2)
    model = chain()
    bench.load("m", model)
    session = bench.open("m")
    put(session, X)
    npu.switch.well = False
    npu.switch.gate.clear()
    answer = ask(bench, session)
    assert answer.wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, X))
    device = bench.devices[1]
    assert (device.state, device.counters.hangs) == (DeviceState.HUNG, 1)
    before = bytes(session.slots[0])
    npu.switch.gate.set()
    _until(lambda: len(npu.switch.order) == 1)
    assert bytes(session.slots[0]) == before
    assert answer.times == 1


def test_everything_waiting_moves_too(make_bench: Make) -> None:
    bench, _cpu, npu = _pair(make_bench)
    model = chain()
    bench.load("m", model)
    session = bench.open("m", 20)
    inputs = [np.full((1, 8), i, np.int8) for i in range(20)]
    npu.switch.gate.clear()
    answers = []
    for slot, x in enumerate(inputs):
        put(session, x, slot)
        answers.append(ask(bench, session, slot))
    npu.switch.fail_next, npu.switch.well = 1, False
    npu.switch.gate.set()
    assert [a.wait() for a in answers] == [Code.OK] * 20
    for slot, x in enumerate(inputs):
        np.testing.assert_array_equal(got(session, slot), expected(model, x))


def test_a_second_failure_is_reported(make_bench: Make) -> None:
    one, two = FakeBackend("one", microseconds=1), FakeBackend("two", microseconds=2)
    bench = make_bench(one, two)
    bench.load("m", chain())
    session = bench.open("m")
    put(session, X)
    one.switch.fail_next, one.switch.well = 1, False
    two.switch.fail_next, two.switch.well = 1, False
    answer = ask(bench, session)
    assert answer.wait() is Code.BACKEND_FAILED
    assert "failed again after a retry on another device" in answer.text


def test_nobody_left(make_bench: Make) -> None:
    npu = FakeBackend("npu")
    bench = make_bench(npu)
    bench.load("m", chain())
    session = bench.open("m")
    put(session, X)
    npu.switch.fail_next, npu.switch.well = 1, False
    answer = ask(bench, session)
    assert answer.wait() is Code.BACKEND_FAILED
    assert "no device here runs it" in answer.text


def test_our_own_kernels_answer_for_themselves(make_bench: Make) -> None:
    """A trusted device that raises gives its error to the client and stays up."""
    cpu = FakeBackend("cpu", trusted=True)
    bench = make_bench(cpu)
    bench.load("m", chain())
    session = bench.open("m")
    put(session, X)
    cpu.switch.fail_next = 1
    answer = ask(bench, session)
    assert answer.wait() is Code.BACKEND_FAILED
    assert answer.text == "cpu: told to fail"
    assert bench.devices[0].up
    assert ask(bench, session).wait() is Code.OK


def _devices(entry: Entry) -> list[str]:
    assert entry.current is not None
    return [step.device.name for step in entry.current.steps]


def test_a_device_that_cannot_make_its_part_ready_is_done_without(make_bench: Make) -> None:
    bench, _cpu, npu = _pair(make_bench)
    npu.unready = BackendError("no compiler here")
    model = chain()
    entry = bench.load("m", model, log=bench.lines.append)
    assert _devices(entry) == ["cpu"]
    assert all("npu refuses it: its part could not be made ready: no compiler here" in why
               for why in entry.current.partition.reason.values())  # fmt: skip
    assert any("does without npu: no compiler here" in line for line in bench.lines)
    assert bench.devices[1].up, "other models may run there"
    session = bench.open("m")
    put(session, X)
    assert ask(bench, session).wait() is Code.OK
    np.testing.assert_array_equal(got(session), expected(model, X))


def test_a_device_takes_no_more_constants_than_it_has_room_for(make_bench: Make) -> None:
    bench, _cpu, npu = _pair(make_bench)
    model = chain()
    held = [node_bytes(node) for node in model.main.nodes]
    npu.memory_bytes = sum(held) - 1
    entry = bench.load("m", model)
    assert sorted(set(_devices(entry))) == ["cpu", "npu"]
    assert any(
        "npu refuses it: over its memory limit" in why for why in entry.current.partition.reason.values()
    )


def test_what_is_pinned_or_alone_is_refused_with_the_devices_words(make_bench: Make) -> None:
    bench, _cpu, npu = _pair(make_bench)
    npu.unready = BackendError("no compiler here")
    model = chain()
    with pytest.raises(BackendError, match=r"^no compiler here"):
        bench.load("m", model, pin={model.main.nodes[0].kind: "npu"})
    with pytest.raises(BackendError, match=r"^no compiler here"):
        bench.load("m", model, require={"npu": 0.5})
    alone = make_bench(npu)
    with pytest.raises(BackendError, match=r"^no compiler here"):
        alone.load("m", model)


def test_a_line_that_fails_at_a_load_is_probed_and_the_model_comes_back(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    bench, _cpu, npu = _pair(make_bench)
    npu.unready, npu.switch.well = LinkError("unplugged"), False
    entry = bench.load("m", chain())
    assert _devices(entry) == ["cpu"]
    device = bench.devices[1]
    assert (device.state, device.reason) in [(DeviceState.DOWN, "unplugged"), (DeviceState.DOWN, "still ill")]
    npu.unready, npu.switch.well = None, True
    _until(lambda: _devices(entry) == ["npu"])


def test_a_pinned_model_whose_first_load_met_a_failing_line_is_asked_for_again(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    bench, _cpu, npu = _pair(make_bench)
    returned: list[bool] = []
    bench.recovery.returned = lambda: returned.append(True)
    model = chain()
    npu.unready = LinkError("unplugged")
    with pytest.raises(LinkError, match=r"^unplugged"):
        bench.load("m", model, pin={model.main.nodes[0].kind: "npu"})
    npu.unready = None
    _until(lambda: bool(returned) and bench.devices[1].up)
    assert _devices(bench.load("m", model, pin={model.main.nodes[0].kind: "npu"})) == ["npu"]


def test_a_probe_that_takes_its_time_holds_up_no_other_device(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two boards: one does not answer, the other one fails meanwhile. Nor does a probe begin while one is under way."""
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    monkeypatch.setattr(recovery, "PROBE_LIMIT", 0.1)
    silent, other = FakeBackend("silent", microseconds=1), FakeBackend("other", microseconds=2)
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), silent, other)
    asked, answer = threading.Semaphore(0), threading.Event()

    def probe() -> Support:
        asked.release()
        answer.wait(20)
        return YES

    monkeypatch.setattr(silent, "probe", probe)
    bench.load("m", chain())
    session = bench.open("m")
    put(session, X)
    silent.switch.fail_next = 1
    assert ask(bench, session).wait() is Code.OK
    assert asked.acquire(timeout=10)
    other.switch.fail_next, other.switch.well = 1, False
    start = monotonic()
    assert ask(bench, session).wait() is Code.OK
    took = monotonic() - start
    device = bench.devices[1]
    _until(lambda: device.reason == "the probe has not ended for 0 s")
    assert not asked.acquire(timeout=0.2)
    answer.set()
    _until(lambda: device.up)
    assert took < 2.0


def test_placing_a_model_on_a_slow_line_holds_up_no_other_device(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board that is back is loaded for seconds; another one fails meanwhile."""
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    slow, other = FakeBackend("slow", microseconds=200), FakeBackend("other", microseconds=200)
    bench = make_bench(FakeBackend("cpu", microseconds=100, trusted=True), slow, other)
    model = chain()
    kind = model.main.nodes[0].kind
    entry = bench.load("one", model, pin={kind: "slow"})
    bench.load("two", model, pin={kind: "other"})
    one, two = bench.open("one"), bench.open("two")
    loading, loaded, prepare = threading.Event(), threading.Event(), slow.prepare

    def load(ctx: PrepareContext, subgraph: Subgraph) -> Delegate:
        loading.set()
        loaded.wait(20)
        return prepare(ctx, subgraph)

    monkeypatch.setattr(slow, "prepare", load)
    put(one, X)
    put(two, X)
    slow.switch.fail_next = 1
    assert ask(bench, one).wait() is Code.OK
    assert loading.wait(10)
    other.switch.fail_next, other.switch.well = 1, False
    start = monotonic()
    assert ask(bench, two).wait() is Code.OK
    took = monotonic() - start
    assert ask(bench, one).wait() is Code.OK
    loaded.set()
    _until(lambda: _devices(entry) == ["slow"])
    assert took < 2.0


def test_a_device_that_fails_at_every_run_is_tried_less_and_less(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers probes, and its program crashes: a board that was told another target."""
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.02)
    bench, _cpu, npu = _pair(make_bench)
    npu.switch.fail_next = 1 << 30
    bench.load("m", chain())
    session = bench.open("m")
    put(session, X)
    end = monotonic() + 1.5
    while monotonic() < end:
        assert ask(bench, session).wait() is Code.OK
    device = bench.devices[1]
    assert 3 <= device.counters.readmissions <= 8, "0.02, 0.04, 0.08, ... s and ticks between"
    npu.switch.fail_next = 0
    _until(lambda: device.up)
    before = device.counters.runs
    assert ask(bench, session).wait() is Code.OK
    _until(lambda: ask(bench, session).wait() is Code.OK and device.counters.runs > before)
    npu.switch.fail_next, readmissions, start = 1, device.counters.readmissions, monotonic()
    assert ask(bench, session).wait() is Code.OK
    _until(lambda: device.counters.readmissions > readmissions)
    assert monotonic() - start < 0.5, "it has run meanwhile: this is another illness"
