"""Several requests of one model as one run, for models with a symbolic batch dimension.

Only a model that is one step on one device is batched: rows are copied together, run, and copied apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from edged.backend import RunContext
from edged.errors import ModelError
from edged.runtime.device import Device
from edged.runtime.loaded import Loaded
from edged.runtime.request import Request


@dataclass(slots=True)
class BatchBuffers:
    """Memory for one batch size: a buffer per input and output of the batched graph."""

    loaded: Loaded
    size: int
    inputs: tuple[memoryview, ...]
    outputs: tuple[memoryview, ...]
    context: RunContext


def buffers(single: Loaded, size: int) -> BatchBuffers:
    """Working memory for batches of `size`. ModelError when the model's outputs do not grow with its
    batch."""
    batch = single.batched[size]
    for one, many in zip(
        (*single.graph.inputs, *single.graph.outputs),
        (*batch.graph.inputs, *batch.graph.outputs),
        strict=True,
    ):
        if many.nbytes != one.nbytes * size:
            raise ModelError(
                f"{one.name} does not grow with the batch", remedy="set batch = 1 for this model"
            )
    return BatchBuffers(
        batch,
        size,
        tuple(memoryview(bytearray(t.nbytes)) for t in batch.graph.inputs),
        tuple(memoryview(bytearray(t.nbytes)) for t in batch.graph.outputs),
        RunContext(state=batch.steps[0].delegate.new_state()),
    )


def can_batch(loaded: Loaded) -> bool:
    """One step, on one device, in every size, and nothing to copy afterwards."""
    sizes = loaded.batched.values()
    return bool(loaded.batched) and all(len(x.steps) == 1 and not x.finals for x in (loaded, *sizes))


def pick(loaded: Loaded, count: int) -> int:
    """The smallest prepared batch size that holds `count` requests."""
    return min(size for size in loaded.batched if size >= count)


def run(device: Device, requests: list[Request], room: BatchBuffers) -> float:
    """Runs the requests' inputs as one batch and gives each its rows; returns seconds. Rows without a request
    repeat the first."""
    filled = [*requests, *[requests[0]] * (room.size - len(requests))]
    for place, whole in enumerate(room.inputs):
        width = len(whole) // room.size
        for row, request in enumerate(filled):
            whole[row * width : (row + 1) * width] = request.binding.steps[0][0][place]
    step = room.loaded.steps[0]
    now = monotonic()
    step.delegate.run(room.context, room.inputs, room.outputs)
    took = monotonic() - now
    step.took(took)
    for place, whole in enumerate(room.outputs):
        width = len(whole) // room.size
        for row, request in enumerate(requests):
            outputs = request.binding.copies[0] or request.binding.steps[0][1]
            outputs[place][:] = whole[row * width : (row + 1) * width]
    device.counters.runs += 1
    device.counters.busy_seconds += took
    return took
