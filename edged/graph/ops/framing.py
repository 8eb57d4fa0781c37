"""TFLite Micro's audio operators that keep samples from call to call: frames, stacks, delays, overlaps.

Custom ops, int16 (overlapping also float32). Their memory is queues of samples, right-aligned in arrays of
fixed size beside how many are in. Where an output is not valid yet, TFLite Micro leaves it undefined; it is 0
here. Source: signal/micro/kernels of tflite-micro.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.move import operand
from edged.graph.ops.signal import option, same_shape
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value

Shapes = Sequence[Shape | None]


def _count(value: int) -> Array:
    return np.array([value], np.int32)


def _frame(node: Node) -> tuple[int, int]:
    return option(node, "frame_size", 1), option(node, "frame_step", 1)


def infer_framer(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    size, step = _frame(node)
    shape = shapes[0]
    if shape is None:
        return [None, ()]
    if not shape or not shape[-1] or shape[-1] % step:
        raise ShapeError(f"{node.where}: {shape} samples do not divide into steps of {step}")
    return [(*shape[:-1], shape[-1] // step, size), ()]


def _framer_memory(node: Node, arrays: Arrays) -> Sequence[Array]:
    size, step = _frame(node)
    x = operand(arrays, 0)
    held = max(size - step, 0) if option(node, "prefill", 0, 1) else 0
    return [np.zeros((x[..., 0].size, size + step), np.int16), _count(held)]


def framer(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Samples (..., n * frame_step) -> overlapping frames (..., n, frame_size), and whether all are full."""
    x, queue, count = operand(arrays, 0), operand(arrays, 1), int(operand(arrays, 2)[0])
    size, step = _frame(node)
    (shape, _) = infer_framer(node, [x.shape], lambda _i: None)
    assert shape is not None
    steps = x.reshape(len(queue), -1, step)
    frames = np.zeros((len(queue), steps.shape[1], size), np.int16)
    valid = True
    for i in range(steps.shape[1]):
        queue, count = np.concatenate([queue[:, step:], steps[:, i]], axis=1), count + step
        if count >= size:
            oldest = queue.shape[1] - count
            frames[:, i] = queue[:, oldest : oldest + size]
            count -= step
        else:
            valid = False
    return [frames.reshape(shape), np.array(valid), queue, _count(count)]


def _contexts(node: Node) -> tuple[int, int, int, int]:
    """Channels, frames before, frames in a stack, frames from stack to stack."""
    left, right = option(node, "stacker_left_context"), option(node, "stacker_right_context")
    step = option(node, "stacker_step", 1)
    if step > left + right + 1:
        raise ShapeError(f"{node.where}: a step of {step} frames skips frames of the next stack")
    return option(node, "num_channels", 1), left, left + right + 1, step


def infer_stacker(node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    channels, _, frames, _ = _contexts(node)
    return [(channels * frames,), ()]


def _stacker_memory(node: Node, _arrays: Arrays) -> Sequence[Array]:
    channels, _, frames, _ = _contexts(node)
    return [np.zeros((frames, channels), np.int16), np.zeros(2, np.int32)]


def stacker(node: Node, arrays: Arrays) -> Sequence[Array]:
    """A frame and its neighbours, side by side, and whether they are there; the first frame stands in for
    those before it."""
    x, queue = operand(arrays, 0), operand(arrays, 1)
    count, began = (int(v) for v in operand(arrays, 2))  # frames in the queue; 1 behind the first ever
    channels, left, frames, step = _contexts(node)
    if x.size < channels:
        raise ShapeError(f"{node.where}: {x.size} values for {channels} channels")
    times = 1 if began else 1 + left
    new = np.repeat(x.reshape(-1)[None, :channels], times, axis=0)
    queue, count = np.concatenate([queue, new])[-frames:], count + times
    full = count >= frames
    stack = queue.reshape(-1) if full else np.zeros(channels * frames, np.int16)
    return [stack, np.array(full), queue, np.array([count - step if full else count, 1], np.int32)]


def _delay_memory(node: Node, arrays: Arrays) -> Sequence[Array]:
    return [np.zeros((operand(arrays, 0)[..., 0].size, option(node, "delay_length")), np.int16)]


def delay(_node: Node, arrays: Arrays) -> Sequence[Array]:
    """Samples as they were delay_length samples ago, each row for itself."""
    x, held = operand(arrays, 0), operand(arrays, 1)
    joined = np.concatenate([held, x.reshape(len(held), -1)], axis=1)
    size = x.shape[-1]
    return [joined[:, :size].reshape(x.shape), joined[:, size:].copy()]


def infer_overlap(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape, step = shapes[0], option(node, "frame_step", 1)
    if shape is None:
        return [None]
    if len(shape) < 2 or step > shape[-1]:
        raise ShapeError(f"{node.where}: frames of shape {shape} do not overlap by steps of {step}")
    return [(*shape[:-2], shape[-2] * step)]


def _overlap_memory(_node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    return [np.zeros((x[..., 0, 0].size, x.shape[-1]), x.dtype)]


def overlap_add(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Frames (..., n, frame_size) added up frame_step apart -> samples (..., n * frame_step); int16
    saturates."""
    x, held = operand(arrays, 0), operand(arrays, 1)
    (shape,), step = infer_overlap(node, [x.shape], lambda _i: None), option(node, "frame_step", 1)
    assert shape is not None
    frames = x.reshape(len(held), -1, x.shape[-1])
    parts = []
    for i in range(frames.shape[1]):
        if x.dtype == np.int16:
            total = np.clip(held.astype(np.int32) + frames[:, i], -32768, 32767).astype(np.int16)
        else:
            total = held + frames[:, i]
        parts.append(total[:, :step])
        held = np.concatenate([total[:, step:], np.zeros_like(total[:, :step])], axis=1)
    return [np.stack(parts, axis=1).reshape(shape), held]


OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "custom:SignalFramer", infer_framer, framer, {}, (1, 1), (2, 2), stateful=True, memory=_framer_memory
    ),
    OpSpec(
        "custom:SignalStacker", infer_stacker, stacker, {}, (1, 1), (2, 2),
        stateful=True, memory=_stacker_memory,
    ),
    OpSpec("custom:SignalDelay", same_shape, delay, stateful=True, memory=_delay_memory),
    OpSpec("custom:SignalOverlapAdd", infer_overlap, overlap_add, stateful=True, memory=_overlap_memory),
)  # fmt: skip
