"""TFLite Micro's audio operators on single frames: windows, scaling, Fourier transforms, energies.

Custom ops; their options are flexbuffer maps. Source: signal/micro/kernels and signal/src of tflite-micro.
The ones that keep samples from frame to frame are in `framing`, the filter banks in `filter_bank`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from edged.errors import ModelError, ShapeError
from edged.graph.flexbuffer import Scalar, read_map
from edged.graph.model import Node, Shape
from edged.graph.ops.fft import Numbers, factors, irfft, rfft
from edged.graph.ops.move import operand
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value

Shapes = Sequence[Shape | None]
LONGEST = 1 << 20
"""Frames, transforms and contexts longer than this are refused: no device that runs these ops has the
memory."""


@lru_cache(maxsize=256)
def _options(raw: bytes) -> Mapping[str, Scalar]:
    return read_map(raw)


def option(node: Node, name: str, least: int = 0, most: int = LONGEST) -> int:
    """An option of a custom op. ModelError when it is absent, no number, or out of range."""
    found = _options(node.options).get(name)
    if found is None or isinstance(found, str):
        raise ModelError(f"{node.where}: option {name!r} is missing")
    if not least <= int(found) <= most:
        raise ModelError(f"{node.where}: option {name!r} is {found}, and must be {least} to {most}")
    return int(found)


def same_shape(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    """The output has the shape of the first input."""
    return [shapes[0]]


def window(node: Node, arrays: Arrays) -> Sequence[Array]:
    """int16 frames times int16 weights, shifted down (floor) and saturated; weights repeat along the
    frames."""
    x, weights = operand(arrays, 0), operand(arrays, 1).reshape(-1)
    if not weights.size or x.size % weights.size:
        raise ShapeError(f"{node.where}: {x.size} samples do not divide into windows of {weights.size}")
    product = x.reshape(-1, weights.size).astype(np.int32) * weights.astype(np.int32)
    shifted = product >> option(node, "shift", 0, 31)
    return [np.clip(shifted, -32768, 32767).astype(np.int16).reshape(x.shape)]


def _largest(x: Array) -> int:
    """The largest magnitude, in an int16: after -32768, whose magnitude has none, counting starts anew."""
    if not (x == -32768).any():
        return int(np.abs(x.astype(np.int32)).max(initial=0))
    most = 0
    for value in x.tolist():
        if value > most:
            most = value
        elif -value > most:
            most = -value if value > -32768 else -32768
    return most


def infer_auto_scale(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [shapes[0], ()]


def fft_auto_scale(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The frame shifted up until its largest value uses all of int16, and by how many bits (int32)."""
    x = operand(arrays, 0)
    if x.ndim != 1:
        raise ShapeError(f"{node.where}: a frame has 1 dimension, not {x.ndim}")
    most = _largest(x)
    bits = max(15 - most.bit_length(), 0) if most > 0 else 0
    return [(x.astype(np.int32) << bits).astype(np.int16), np.array(bits, np.int32)]


def _numbers(node: Node, x: Array) -> Numbers:
    kinds = {"int16": Numbers(16), "int32": Numbers(32), "float32": Numbers(0)}
    if str(x.dtype) not in kinds:
        raise ShapeError(f"{node.where}: no Fourier transform of {x.dtype}", remedy=", ".join(kinds))
    return kinds[str(x.dtype)]


def _length(node: Node) -> int:
    """fft_length: even, of factors that TFLite Micro has transforms for."""
    size = option(node, "fft_length", 4)
    if size % 2 or max(factors(size // 2)) > 5:
        raise ModelError(
            f"{node.where}: fft_length {size} is no product of 2, 3 and 5", remedy="use a power of two"
        )
    return size


def infer_rfft(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape = shapes[0]
    return [None if shape is None else (*shape[:-1], _length(node) + 2)]


def signal_rfft(node: Node, arrays: Arrays) -> Sequence[Array]:
    """(..., n) padded with zeros to fft_length -> (..., fft_length + 2), real and imaginary parts by
    turns."""
    x, size = operand(arrays, 0), _length(node)
    if not x.ndim or x.shape[-1] > size:
        raise ShapeError(f"{node.where}: frames of shape {x.shape} are longer than fft_length {size}")
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, size - x.shape[-1])])
    parts = rfft(_numbers(node, x), padded)
    return [np.stack(parts, axis=-1).astype(x.dtype).reshape(*x.shape[:-1], size + 2)]


def infer_irfft(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape = shapes[0]
    return [None if shape is None else (*shape[:-1], _length(node))]


def signal_irfft(node: Node, arrays: Arrays) -> Sequence[Array]:
    """(..., fft_length + 2) -> (..., fft_length); floats are divided by fft_length, integers by the stages
    of the transform."""
    x, size = operand(arrays, 0), _length(node)
    if not x.ndim or x.shape[-1] != size + 2:
        raise ShapeError(f"{node.where}: a spectrum of shape {x.shape} for fft_length {size}")
    numbers = _numbers(node, x)
    pairs = x.reshape(*x.shape[:-1], size // 2 + 1, 2)
    values = irfft(numbers, pairs[..., 0], pairs[..., 1])
    return [(values if numbers.bits else values / np.float32(size)).astype(x.dtype)]


def infer_energy(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [None if shapes[0] is None else (*shapes[0][:-1], shapes[0][-1] // 2)]


def energy(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Squared magnitudes (uint32) of an int16 spectrum from start_index up to end_index; the others, which
    TFLite Micro leaves undefined, are 0."""
    x = operand(arrays, 0)
    if x.ndim != 1 or x.size % 2:
        raise ShapeError(f"{node.where}: a spectrum of shape {x.shape} has no pairs")
    count = x.size // 2
    end = option(node, "end_index", 0, count)
    start = option(node, "start_index", 0, end)
    squares = x.astype(np.int64).reshape(count, 2) ** 2
    result = np.zeros(count, np.uint32)
    result[start:end] = squares.sum(axis=1)[start:end].astype(np.uint32)
    return [result]


OPS: tuple[OpSpec, ...] = (
    OpSpec("custom:SignalWindow", same_shape, window, {}, (2, 2)),
    OpSpec("custom:SignalFftAutoScale", infer_auto_scale, fft_auto_scale, {}, (1, 1), (2, 2)),
    OpSpec("custom:SignalRfft", infer_rfft, signal_rfft),
    OpSpec("custom:SignalIrfft", infer_irfft, signal_irfft),
    OpSpec("custom:SignalEnergy", infer_energy, energy),
)
