"""Sessions with variables on a device that is lost: what they have heard goes on where it was, or the client is told; nobody else suffers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from edged.backend import Cost, PrepareContext, RunContext, Subgraph, Support
from edged.errors import BackendError
from edged.graph.model import Model
from edged.runtime.errors import BusyError
from edged_backends.reference import ReferenceBackend, ReferenceDelegate
from edged_ipc.codes import Code
from sim.fake_backend import Switch
from support.build import one_op, tensor
from support.flexmaps import packed
from support.runtime_bench import Bench, ask

Make = Callable[..., Bench]


class MortalDelegate(ReferenceDelegate):
    """A delegate of a child process: once that has died, every call to it fails."""

    def __init__(self, subgraph: Subgraph, owner: Mortal) -> None:
        super().__init__(subgraph)
        self.owner, self.life = owner, owner.life

    def _alive(self) -> None:
        if self.life != self.owner.life:
            raise BackendError("the child process has ended")

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        self.owner.switch.entered.release()
        self.owner.switch.gate.wait(30)
        if self.owner.die_next:
            self.owner.die_next = False
            self.owner.life += 1
        self._alive()
        super().run(ctx, inputs, outputs)

    def new_state(self) -> object:
        self._alive()
        return super().new_state()

    def reset(self, state: object) -> None:
        self._alive()
        super().reset(state)

    def save(self, state: object) -> Mapping[str, bytes]:
        self._alive()
        return super().save(state)

    def restore(self, state: object, variables: Mapping[str, bytes]) -> None:
        self._alive()
        super().restore(state, variables)


class Mortal(ReferenceBackend):
    """The reference as a device that is not trusted. `die_next`: its process ends in the next run."""

    trusted = False

    def __init__(self, name: str, microseconds: float, *, trusted: bool = False) -> None:
        self.name, self.microseconds, self.trusted = name, microseconds, trusted
        self.switch = Switch()
        self.life = 0
        self.die_next = False
        self.well = False

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(self.microseconds)

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> ReferenceDelegate:
        return MortalDelegate(subgraph, self)

    def probe(self) -> Support:
        return Support(self.well, "" if self.well else "still ill")


def delay() -> Model:
    """y is the x of the call before."""
    ends = [tensor("int8", (1, 2), name=name) for name in ("x", "y")]
    return one_op("custom:SignalDelay", *[[e] for e in ends], options=packed({"delay_length": 2}))


@pytest.fixture
def pair(make_bench: Make) -> tuple[Bench, Mortal, Mortal]:
    cpu, npu = Mortal("cpu", 1000, trusted=True), Mortal("npu", 1)
    return make_bench(cpu, npu), cpu, npu


def say(bench: Bench, session: Any, value: int, slot: int = 0) -> Any:
    session.slots[slot][:2] = bytes([value, value])
    return ask(bench, session, slot)


def heard(bench: Bench, session: Any, slot: int = 0) -> int:
    at = bench.registry.find("m").current.layout.offsets[1]
    return session.slots[slot][at]


def test_a_stream_goes_on_after_the_device_was_lost_under_it(pair: tuple[Bench, Mortal, Mortal]) -> None:
    bench, _cpu, npu = pair
    entry = bench.load("m", delay())
    session = bench.open("m")
    for value in (1, 2):
        assert say(bench, session, value).wait() is Code.OK
    npu.die_next = True
    answer = say(bench, session, 3)
    assert answer.wait() is Code.OK, answer.text
    assert heard(bench, session) == 2
    assert say(bench, session, 4).wait() is Code.OK
    assert heard(bench, session) == 3
    assert [s.device.name for s in entry.current.steps] == ["cpu"]


def test_a_stream_goes_on_after_another_client_lost_the_device(pair: tuple[Bench, Mortal, Mortal]) -> None:
    """Its variables were in the process that died while it was idle."""
    bench, _cpu, npu = pair
    bench.load("m", delay())
    mine, other = bench.open("m"), bench.open("m")
    assert say(bench, mine, 1).wait() is Code.OK
    assert say(bench, mine, 2).wait() is Code.OK
    npu.die_next = True
    assert say(bench, other, 9).wait() is Code.OK
    answer = say(bench, mine, 3)
    assert answer.wait() is Code.OK, answer.text
    assert heard(bench, mine) == 2
    assert say(bench, other, 8).wait() is Code.OK
    assert heard(bench, other) == 9


def test_what_waits_for_its_turn_in_a_stream_goes_on_in_order(pair: tuple[Bench, Mortal, Mortal]) -> None:
    bench, _cpu, npu = pair
    bench.load("m", delay())
    session = bench.open("m", 4)
    npu.switch.gate.clear()
    answers = [say(bench, session, slot + 1, slot) for slot in range(4)]
    assert npu.switch.entered.acquire(timeout=10)
    npu.die_next = True
    npu.switch.gate.set()
    assert [a.wait() for a in answers] == [Code.OK] * 4
    assert [heard(bench, session, slot) for slot in range(4)] == [0, 1, 2, 3]
    assert [a.times for a in answers] == [1] * 4


def test_a_stream_starts_anew_after_reset_though_its_device_is_lost(pair: tuple[Bench, Mortal, Mortal]) -> None:
    bench, _cpu, npu = pair
    bench.load("m", delay())
    session = bench.open("m")
    assert say(bench, session, 1).wait() is Code.OK
    npu.life += 1
    session.reset()
    answer = say(bench, session, 2)
    assert answer.wait() is Code.OK, answer.text
    assert heard(bench, session) == 0


def test_a_full_mailbox_takes_nothing_from_a_stream(make_bench: Make) -> None:
    cpu = Mortal("cpu", 1, trusted=True)
    bench = make_bench(cpu, queue_length=1)
    bench.load("m", delay())
    sessions = [bench.open("m") for _ in range(3)]
    cpu.switch.gate.clear()
    first = say(bench, sessions[0], 1)
    assert cpu.switch.entered.acquire(timeout=10)
    second = say(bench, sessions[1], 1)
    with pytest.raises(BusyError):
        say(bench, sessions[2], 1)
    cpu.switch.gate.set()
    assert (first.wait(), second.wait()) == (Code.OK, Code.OK)
    assert say(bench, sessions[2], 5).wait() is Code.OK
    assert heard(bench, sessions[2]) == 0


def test_threads_of_all_devices_live(pair: tuple[Bench, Mortal, Mortal]) -> None:
    """A delegate that fails before it runs (its states cannot be made) is a failed step, not the end of a thread."""
    bench, _cpu, npu = pair
    bench.load("m", delay())
    session = bench.open("m")
    npu.life += 1
    answer = say(bench, session, 1)
    assert answer.wait() is Code.OK, answer.text
    names = {t.name for t in threading.enumerate()}
    assert {"edged:cpu", "edged:npu"} <= names
