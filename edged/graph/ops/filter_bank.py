"""TFLite Micro's audio operators on filter bank channels: sums, roots, noise subtraction, gain, logarithms.

Custom ops of unsigned integers, whose C arithmetic wraps around. Source: signal/micro/kernels and signal/src
of tflite-micro.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.move import operand
from edged.graph.ops.signal import option, same_shape
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value

Shapes = Sequence[Shape | None]
_U32 = 0xFFFFFFFF


def infer_filter_bank(node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    return [(option(node, "num_channels", 1),)]


def filter_bank(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Channel energies (uint64). Inputs: energies by frequency (uint32), weights, unweights, and for every
    channel and one before the first: first frequency, first weight, width (int16). A channel is the sum of
    its weighted energies and of the one before's unweighted ones."""
    x, weights, unweights, starts, places, widths = (operand(arrays, i).reshape(-1) for i in range(6))
    count = option(node, "num_channels", 1)
    if min(len(starts), len(places), len(widths)) < count + 1:
        raise ShapeError(f"{node.where}: the tables describe fewer than {count} channels and the one before")
    result, carried = np.zeros(count + 1, np.uint64), np.uint64(0)
    for channel in range(count + 1):
        start, place, width = (int(a[channel]) for a in (starts, places, widths))
        if width > 0 and (min(start, place) < 0 or start + width > x.size or place + width > weights.size):
            raise ShapeError(f"{node.where}: channel {channel} reaches beyond the spectrum or the weights")
        part = x[start : start + width].astype(np.uint64) if width > 0 else np.zeros(0, np.uint64)
        here = slice(place, place + max(width, 0))
        result[channel] = carried + _dot(part, weights[here])
        carried = _dot(part, unweights[here])
    return [result[1:]]


def _dot(energies: Array, weights: Array) -> np.uint64:
    """A sum of products modulo 2 ** 64; negative weights wrap."""
    if energies.size != weights.size:
        raise ShapeError("SignalFilterBank: weights and unweights differ in length")
    return np.uint64((energies * weights.astype(np.int64).view(np.uint64)).sum(dtype=np.uint64))


def _root(value: int) -> int:
    """The square root rounded to the nearest, within 16 bits for a 32-bit value and 32 for a 64-bit one."""
    root = math.isqrt(value)
    highest = 0xFFFF if value <= _U32 else _U32
    return root + 1 if value - root * root > root and root != highest else root


def square_root(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Roots (uint32) of uint64 energies, shifted down by the second input: what SignalFftAutoScale shifted
    up."""
    x, bits = operand(arrays, 0), int(operand(arrays, 1).reshape(-1)[0])
    if not 0 <= bits < 32:
        raise ShapeError(f"{node.where}: a shift by {bits} bits")
    roots = [_root(value) >> bits for value in x.reshape(-1).tolist()]
    return [np.array(roots, np.uint32).reshape(x.shape)]


def infer_subtraction(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [shapes[0], shapes[0]]


def _no_noise(_node: Node, arrays: Arrays) -> Sequence[Array]:
    return [np.zeros(operand(arrays, 0).shape, np.uint32)]


def _by_turns(node: Node, name: str, count: int) -> Array:
    """A coefficient for even channels, and its `alternate_` for odd ones."""
    both = [option(node, f"{prefix}{name}", -(1 << 31), _U32) & _U32 for prefix in ("", "alternate_")]
    return np.array(both, np.uint64)[np.arange(count) % 2]


def spectral_subtraction(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Signals (uint32) less their noise estimates, but at least min_signal_remaining of them; and the
    estimates. Memory: the estimates, a running mean."""
    x, noise = operand(arrays, 0).astype(np.uint64), operand(arrays, 1).astype(np.uint64)
    if x.ndim != 1 or option(node, "num_channels", 1) != x.size:
        raise ShapeError(f"{node.where}: {x.shape} are not num_channels values")
    bits, scale = (np.uint64(option(node, n, 0, 31)) for n in ("smoothing_bits", "spectral_subtraction_bits"))
    least = np.uint64(option(node, "min_signal_remaining", -(1 << 31), _U32) & _U32)
    new, old = (_by_turns(node, n, x.size) for n in ("smoothing", "one_minus_smoothing"))
    mask = np.uint64(_U32)
    scaled = (x << bits) & mask
    estimate = ((scaled * new + noise * old) >> scale) & mask
    capped = np.minimum(estimate, scaled)
    kept = capped if option(node, "clamping", 0, 1) else estimate
    floor = ((x * least) >> scale) & mask
    left = np.maximum((scaled - capped) >> bits, floor).astype(np.uint32)
    return [left, kept.astype(np.uint32), kept.astype(np.uint32)]


def _wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


def _gain(x: int, table: Sequence[int]) -> int:
    """A function by quadratic pieces, one for every power of two: WideDynamicFunction."""
    if x <= 2:
        return table[x]
    interval = x.bit_length()
    piece = table[4 * interval - 6 :]
    fraction = (x << (11 - interval) if interval < 11 else x >> (interval - 11)) & 0x3FF
    slope = _wrapped(((piece[2] * fraction) >> 5) + (piece[1] << 5), 32)
    return _wrapped(((_wrapped(slope * fraction, 32) + (1 << 14)) >> 15) + piece[0], 16)


def _shrunk(ratio: int) -> int:
    """x * x / 4 below 2, x - 1 above; 12 fractional bits in, 6 out."""
    return (ratio * ratio) >> 20 if ratio < 2 << 12 else (ratio >> 6) - (1 << 6)


def pcan(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Per-channel gain control (uint32). Inputs: signals, noise estimates, the gain's table (int16, 125)."""
    x, noise = operand(arrays, 0), operand(arrays, 1)
    table = operand(arrays, 2).reshape(-1).tolist()
    shift = option(node, "snr_shift", 0, 63)
    if x.shape != noise.shape or len(table) < 125:
        sizes = f"{x.shape} signals, {noise.shape} estimates, {len(table)} of 125 gains"
        raise ShapeError(f"{node.where}: {sizes}")
    result = []
    for signal, estimate in zip(x.reshape(-1).tolist(), noise.reshape(-1).tolist(), strict=True):
        product = (signal * (_gain(estimate, table) & _U32)) & 0xFFFFFFFFFFFFFFFF
        result.append(_shrunk((product >> shift) & _U32))
    return [np.array(result, np.uint32).reshape(x.shape)]


@cache
def log_table() -> tuple[int, ...]:
    """65536 * (log2(1 + i / 128) - i / 128): what a straight line between powers of two lacks."""
    return tuple(round(65536 * (math.log2(1 + i / 128) - i / 128)) for i in range(130))


def _logarithm(x: int, scale: int) -> int:
    """The natural logarithm of x > 0, times `scale`: log2 by a table with straight lines between."""
    whole, table = x.bit_length() - 1, log_table()
    rest = x - (1 << whole)
    fraction = rest << (16 - whole) if whole < 16 else rest >> (whole - 16)
    segment = fraction >> 9
    rise = table[segment + 1] - table[segment]
    bent = fraction + table[segment] + ((rise * (fraction - (segment << 9))) >> 16)
    natural = (45426 * (((whole << 16) + bent) & _U32) + 32768) >> 16
    return ((scale * natural + 32768) & _U32) >> 16


def filter_bank_log(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Logarithms (int16, saturated) of uint32 channels shifted up by input_correction_bits; 0 below 2."""
    x, bits = operand(arrays, 0), option(node, "input_correction_bits", 0, 31)
    scale = option(node, "output_scale", -(1 << 31), (1 << 31) - 1) & _U32
    shifted = [(value << bits) & _U32 for value in x.reshape(-1).tolist()]
    result = [min(_logarithm(value, scale), 32767) if value > 1 else 0 for value in shifted]
    return [np.array(result, np.int16).reshape(x.shape)]


OPS: tuple[OpSpec, ...] = (
    OpSpec("custom:SignalFilterBank", infer_filter_bank, filter_bank, {}, (6, 6)),
    OpSpec("custom:SignalFilterBankSquareRoot", same_shape, square_root, {}, (2, 2)),
    OpSpec(
        "custom:SignalFilterBankSpectralSubtraction", infer_subtraction, spectral_subtraction,
        {}, (1, 1), (2, 2), stateful=True, memory=_no_noise,
    ),
    OpSpec("custom:SignalPCAN", same_shape, pcan, {}, (3, 3)),
    OpSpec("custom:SignalFilterBankLog", same_shape, filter_bank_log),
)  # fmt: skip
