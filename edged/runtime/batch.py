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
    """Working memory for batches of `size`."""
    batch = single.batched[size]
    return BatchBuffers(
        batch,
        size,
        tuple(memoryview(bytearray(t.nbytes)) for t in batch.graph.inputs),
        tuple(memoryview(bytearray(t.nbytes)) for t in batch.graph.outputs),
        RunContext(state=batch.steps[0].delegate.new_state()),
    )


def refusal(single: Loaded) -> str:
    """Why the model is not run in batches after all; "" when it is. ModelError when its outputs do not grow
    with its batch."""
    for size, batch in single.batched.items():
        for one, many in zip(
            (*single.graph.inputs, *single.graph.outputs),
            (*batch.graph.inputs, *batch.graph.outputs),
            strict=True,
        ):
            if many.nbytes != one.nbytes * size:
                raise ModelError(
                    f"{one.name} does not grow with the batch", remedy="set batch = 1 for this model"
                )
    every = (single, *single.batched.values())
    if any(len(x.steps) != 1 for x in every):
        return "it is cut between devices"
    if len({x.steps[0].device.name for x in every}) > 1:
        return "a batch would run on another device than one request"
    return "an output is an input, a constant or another output" if any(x.finals for x in every) else ""


def room(loaded: Loaded, count: int) -> BatchBuffers:
    """Memory for `count` requests: that of the smallest prepared batch that holds them."""
    size = min(size for size in loaded.batched if size >= count)
    found = loaded.rooms.get(size)
    if found is None:
        found = loaded.rooms[size] = buffers(loaded, size)
    return found


def run(device: Device, requests: list[Request], room: BatchBuffers) -> float:
    """Runs the requests' inputs as one batch; returns seconds. Rows without a request repeat the first."""
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
    device.counters.runs += 1
    device.counters.busy_seconds += took
    return took


def hand_out(requests: list[Request], room: BatchBuffers) -> None:
    """Gives each request its rows of what was computed."""
    for place, whole in enumerate(room.outputs):
        width = len(whole) // room.size
        for row, request in enumerate(requests):
            outputs = request.binding.copies[0] or request.binding.steps[0][1]
            outputs[place][:] = whole[row * width : (row + 1) * width]
