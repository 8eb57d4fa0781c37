"""A runtime over fake devices: what the tests of the runtime stand on."""

from __future__ import annotations

import threading

import numpy as np

from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.runtime.device import Device
from edged.runtime.entry import Entry
from edged.runtime.loading import Demand
from edged.runtime.measurements import Measurements
from edged.runtime.recovery import Recovery
from edged.runtime.registry import Registry
from edged.runtime.request import NEVER, Request
from edged.runtime.session import ClientSession, Walk
from edged.source import Source
from edged_ipc.codes import Code
from sim.fake_backend import FakeBackend


class Bench:
    """Fake devices with registry and recovery; `ask` runs one request and waits for its end."""

    def __init__(
        self, *backends: FakeBackend, queue_length: int = 64, memory: int = 1 << 20, hang: float = 0.3
    ) -> None:
        self.lines: list[str] = []
        walk = Walk()
        self.devices = [Device(b.name, b, walk.serve, queue_length) for b in backends]
        self.registry = Registry(self.devices, Measurements(None), memory_bytes=memory, log=self.lines.append)
        self.recovery = Recovery(self.registry, hang_seconds=hang, log=self.lines.append)
        walk.failed, walk.park = self.recovery.failed, self.recovery.park
        self.recovery.start()

    def load(self, name: str, model: Model, **changes: object) -> Entry:
        keep = {k: changes.pop(k) for k in ("keep", "priority") if k in changes}
        return self.registry.load(name, Source(name, lambda: model), Demand(**changes), **keep)

    def open(self, name: str, slots: int = 1) -> ClientSession:
        size = self.registry.ready(self.registry.find(name)).layout.size
        return self.registry.open(name, [memoryview(bytearray(size)) for _ in range(slots)])

    def close(self) -> None:
        for device in self.devices:
            device.backend.switch.gate.set()
        self.recovery.stop()
        for device in self.devices:
            device.close()
        self.registry.shut()


class Answer:
    """Collects the end of one request."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.code = Code.INTERNAL
        self.text = ""
        self.times = 0

    def __call__(self, request: Request, code: Code, text: str) -> None:
        self.code, self.text = code, text
        self.times += 1
        self.ended.set()

    def wait(self) -> Code:
        assert self.ended.wait(20), "the request never ended"
        return self.code


def put(session: ClientSession, array: np.ndarray, slot: int = 0) -> None:
    """Writes an input into a slot."""
    session.slots[slot][: array.nbytes] = array.tobytes()


def got(session: ClientSession, slot: int = 0) -> np.ndarray:
    """Reads the (int8) output of a slot."""
    loaded = session.entry.current
    assert loaded is not None
    tensor = loaded.graph.outputs[0]
    at = loaded.layout.offsets[len(loaded.graph.inputs)]
    return np.frombuffer(bytes(session.slots[slot][at : at + tensor.nbytes]), np.int8).reshape(tensor.shape)


def ask(
    bench: Bench, session: ClientSession, slot: int = 0, priority: int | None = None, deadline: float = NEVER
) -> Answer:
    answer = Answer()
    bench.registry.submit(session, slot + 1, slot, answer, priority, deadline)
    return answer


def expected(model: Model, array: np.ndarray) -> np.ndarray:
    """What the reference computes."""
    return next(iter(Evaluation(model).run([array]).values()))
