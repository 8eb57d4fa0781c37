"""Parity sampling: a share of an NPU's requests is computed again by our own kernels, and the bytes are
compared.

A device's thread only copies tensors and leaves them here. A thread of low priority runs the same subgraph on
a trusted device while that is idle, counts what differs by model, and, over the limit, logs and has the model
moved away.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Full, Queue
from typing import TYPE_CHECKING

import numpy as np

from edged.backend import Delegate, PrepareContext, RunContext, Subgraph
from edged.errors import EdgedError
from edged.graph.arrays import from_bytes
from edged.graph.model import Tensor
from edged.runtime.device import Device
from edged.runtime.loaded import Loaded, Step

if TYPE_CHECKING:
    from edged.runtime.entry import Entry

WAITING = 8
"""Samples that may wait; further ones are dropped, and counted."""
IDLE_TRIES, IDLE_WAIT = 400, 0.005
PREPARED = 8
FLOAT_STEP = 1e-5
"""One step of a float output, relative to its largest value: what floats may differ by between our own
devices."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`share` of a device's requests is checked; a sample whose mean difference exceeds `limit` steps moves
    the model (0: never, only log any difference)."""

    share: float
    limit: float = 0.0


@dataclass(slots=True)
class ParityFigures:
    """What comparing has shown of one model. Differences in steps: LSB of integers, 1e-5 of the largest
    float."""

    checked: int = 0
    differing: int = 0
    dropped: int = 0
    failed: int = 0
    bytes_compared: int = 0
    bytes_differing: int = 0
    steps_max: float = 0.0
    steps_total: float = 0.0
    elements: int = 0
    over: int = 0
    moved: str = ""

    @property
    def steps_mean(self) -> float:
        return self.steps_total / self.elements if self.elements else 0.0


@dataclass(slots=True)
class Sample:
    """One run of a step: what went in, and what the device made of it."""

    entry: Entry
    loaded: Loaded
    step: Step
    inputs: list[bytes]
    outputs: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs compared: bytes that differ, and the differences in steps."""

    bytes_all: int
    bytes_differing: int
    steps_max: float
    steps_total: float
    elements: int

    @property
    def steps_mean(self) -> float:
        return self.steps_total / self.elements if self.elements else 0.0


def compare(tensors: Sequence[Tensor], ours: Sequence[bytes], theirs: Sequence[bytes]) -> Difference:
    """How far `theirs` is from `ours`; both are the bytes of `tensors`."""
    total = differing = elements = 0
    most = summed = 0.0
    for tensor, a, b in zip(tensors, ours, theirs, strict=True):
        total += len(a)
        differing += int(np.count_nonzero(np.frombuffer(a, np.uint8) != np.frombuffer(b, np.uint8)))
        x, y = (from_bytes(tensor.dtype, tensor.shape, d, tensor.name) for d in (a, b))
        with np.errstate(invalid="ignore"):
            gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
        gap = np.where((x == y) | ((x != x) & (y != y)), 0.0, np.nan_to_num(gap, nan=np.inf, posinf=np.inf))
        if tensor.dtype.is_float:
            gap = gap / (FLOAT_STEP * max(float(np.max(np.abs(x[np.isfinite(x)]), initial=0.0)), 1.0))
        elements += gap.size
        most = max(most, float(gap.max(initial=0.0)))
        summed += float(gap.sum())
    return Difference(total, differing, most, summed, elements)


class Parity:
    """Owns the samples. `move` is called, on this thread, with a model that is to leave a device and why."""

    def __init__(
        self,
        devices: Sequence[Device],
        rates: Mapping[str, Rate],
        *,
        log: Callable[[str], None],
        move: Callable[[Entry, Device, str], None],
    ) -> None:
        self.devices = devices
        self.rates = {name: rate for name, rate in rates.items() if rate.share > 0}
        self.log = log
        self.move = move
        self._runs = dict.fromkeys(self.rates, 0)
        self._queue: Queue[Sample | None] = Queue(WAITING)
        self._prepared: OrderedDict[int, tuple[Step, Device, Delegate]] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="edged:parity", daemon=True)
        if self.rates:
            self._thread.start()

    def begin(
        self, device: Device, entry: Entry, loaded: Loaded, index: int, inputs: Sequence[memoryview]
    ) -> Sample | None:
        """On a device's thread, before a run: a sample if this run is one of the share."""
        rate = self.rates.get(device.name)
        if rate is None:
            return None
        count = self._runs[device.name] = self._runs[device.name] + 1
        step = loaded.steps[index]
        if int(count * rate.share) == int((count - 1) * rate.share):
            return None
        if any(t.variable for t in step.part.graph.tensors):
            return None  # what it starts from is not among its inputs
        return Sample(entry, loaded, step, [bytes(view) for view in inputs])

    def end(self, sample: Sample, outputs: Sequence[memoryview]) -> None:
        """On the device's thread, after the run: hands the sample over."""
        sample.outputs = [bytes(view) for view in outputs]
        try:
            self._queue.put_nowait(sample)
        except Full:
            sample.entry.parity.dropped += 1

    def close(self) -> None:
        """Ends the thread; what waits is not compared any more."""
        self._stopping.set()
        if not self._thread.is_alive():
            return
        with suppress(Full):  # then it finds out with the next sample
            self._queue.put_nowait(None)
        self._thread.join(5)
        for _, _, delegate in self._prepared.values():
            delegate.close()

    def _loop(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while not self._stopping.is_set():
            sample = self._queue.get()
            if sample is None:
                return
            try:
                self._check(sample)
            except EdgedError as error:
                sample.entry.parity.failed += 1
                self.log(f"parity of model {sample.entry.name}: {error}")
            except Exception as error:
                sample.entry.parity.failed += 1
                self.log(f"parity of model {sample.entry.name}: {type(error).__name__}: {error}")

    def _check(self, sample: Sample) -> None:
        figures = sample.entry.parity
        found = self._checker(sample)
        if found is None:
            figures.failed += 1
            return
        device, delegate = found
        theirs = sample.outputs
        ours = [bytearray(len(data)) for data in theirs]
        if not self._idle(device):
            figures.dropped += 1
            return
        try:
            delegate.run(RunContext(), [memoryview(d) for d in sample.inputs], [memoryview(d) for d in ours])
        finally:
            device.turn.release()
        self._judge(sample, compare(delegate.outputs, [bytes(d) for d in ours], theirs))

    def _idle(self, device: Device) -> bool:
        """Takes the turn of a device that nobody waits for; False when it never is idle."""
        for _ in range(IDLE_TRIES):
            if not len(device.mailbox) and device.turn.acquire(blocking=False):
                return True
            if self._stopping.wait(IDLE_WAIT):
                return False
        return False

    def _checker(self, sample: Sample) -> tuple[Device, Delegate] | None:
        """The step's subgraph on a trusted device, prepared once."""
        step = sample.step
        known = self._prepared.get(id(step))
        if known is not None and known[0] is step:
            self._prepared.move_to_end(id(step))
            return known[1], known[2]
        for device in self.devices:
            if not device.backend.trusted or not device.up:
                continue
            if all(device.backend.supports(node) for node in step.part.graph.nodes):
                delegate = device.backend.prepare(
                    PrepareContext(threads=1), Subgraph(step.part.graph, sample.loaded.model)
                )
                self._prepared[id(step)] = step, device, delegate
                if len(self._prepared) > PREPARED:
                    self._prepared.popitem(last=False)[1][2].close()
                return device, delegate
        self.log(
            f"parity of model {sample.entry.name}: no device of our own runs what {step.device.name} runs"
        )
        return None

    def _judge(self, sample: Sample, found: Difference) -> None:
        figures, device = sample.entry.parity, sample.step.device
        figures.checked += 1
        figures.differing += found.bytes_differing > 0
        figures.bytes_compared += found.bytes_all
        figures.bytes_differing += found.bytes_differing
        figures.steps_max = max(figures.steps_max, found.steps_max)
        figures.steps_total += found.steps_total
        figures.elements += found.elements
        limit = self.rates[device.name].limit
        if found.steps_mean <= limit:
            return
        figures.over += 1
        why = (
            f"model {sample.entry.name} on {device.name} differs from our own kernels: "
            f"{found.bytes_differing} of "
            f"{found.bytes_all} bytes, mean {found.steps_mean:.3g}, at most {found.steps_max:.3g} steps"
        )
        if figures.over == 1 or limit:
            self.log(why)
        if limit and not figures.moved and sample.entry.current is sample.loaded:
            figures.moved = device.name
            self.move(sample.entry, device, why)
