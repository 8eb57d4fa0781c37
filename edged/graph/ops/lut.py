"""Table lookups of quantised functions, as TFLite builds them: 256 entries for 8 bits, 513 with interpolation
for 16.

Source: LUTPopulateInt8, LUTPopulateInt16 and LUTLookup of TFLite's kernels/internal/common.h; the logistic
table of reference_integer_ops::Logistic. All arithmetic is in float32, as there; the function itself is
evaluated in float64 and rounded, which is what a correctly rounded libm gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from edged.graph.model import Node, Tensor
from edged.graph.ops.broadcast import scale_of, zero_point_of
from edged.graph.ops.fixedpoint import integer_range, quantize_multiplier, round_half_away
from edged.graph.ops.spec import Array

Function = Callable[[Array], Array]
"""A real function on float64 arrays."""

_ROUNDED_UP = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45,
    46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
)  # fmt: skip
"""Where TFLite's table of logistic(i / 24) lies one above the nearest integer."""

_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


def single(function: Function, x: Array) -> Array:
    """A float64 function on float32 values, rounded to float32."""
    with np.errstate(all="ignore"):
        return np.asarray(function(x.astype(np.float64))).astype(np.float32)


def table_8(source: Tensor, result: Tensor, function: Function) -> Array:
    """Stored outputs for the stored inputs from the least to the greatest; int64."""
    low, high = integer_range(str(source.dtype))
    stored = np.arange(low, high + 1)
    real = scale_of(source) * (stored - zero_point_of(source)).astype(np.float32)
    inverse = np.float32(1) / scale_of(result)
    with np.errstate(all="ignore"):
        scaled = round_half_away(single(function, real) * inverse) + np.float32(zero_point_of(result))
        return np.clip(np.nan_to_num(scaled, nan=low), low, high).astype(np.int64)


def apply_8(node: Node, x: Array, function: Function) -> Array:
    """A function of 8-bit values, from the input's quantisation to the output's."""
    source, result = node.input(0), node.outputs[0]
    low, _ = integer_range(str(x.dtype))
    return table_8(source, result, function)[x.astype(np.int64) - low].astype(x.dtype)


@np.errstate(over="ignore", invalid="ignore")  # a table beyond every float is one, too
def table_16(
    scale: np.float32, zero_point: int, out_scale: np.float32, out_zero_point: int, function: Function
) -> Array:
    """513 stored outputs, 128 inputs apart, each corrected by half the error in the middle of its step;
    int64.
    """
    low, high = integer_range("int16")
    f32 = np.float32
    start, end = scale * f32(low - zero_point), scale * f32(high - zero_point)
    step = (end - start) / f32(512)
    out_span = out_scale * f32(high - out_zero_point) - out_scale * f32(low - out_zero_point)
    inverse = f32(65536) / out_span
    index = np.arange(512).astype(f32)
    value = single(function, start + index * step) * inverse
    middle = round_half_away(single(function, start + index * step + step / f32(2)) * inverse)
    following = single(function, start + (index + f32(1)) * step) * inverse
    between = round_half_away((following + round_half_away(value)) / f32(2))
    correction = round_half_away((between - middle) / f32(2))
    last = round_half_away(single(function, np.asarray([end], f32)) * inverse)
    entries = np.concatenate([round_half_away(value) - correction, last])
    return np.asarray(np.clip(np.nan_to_num(entries, nan=0.0), low, high)).astype(np.int64)


def lookup_16(x: Array, table: Array) -> Array:
    """int16 values through a table of 513 entries, linearly interpolated; int64."""
    x = np.asarray(x, np.int64)
    index = 256 + (x >> 7)
    base = table[index]
    slope = _wrap16(table[index + 1] - base)
    return _wrap16(base + ((slope * (x & 0x7F) + 64) >> 7))


def _wrap16(x: Array) -> Array:
    wrapped: Array = ((x + (1 << 15)) & 0xFFFF) - (1 << 15)
    return wrapped


def apply_16(node: Node, x: Array, function: Function) -> Array:
    """A function of int16 values, from the input's quantisation to the output's."""
    source, result = node.input(0), node.outputs[0]
    table = table_16(
        scale_of(source), zero_point_of(source), scale_of(result), zero_point_of(result), function
    )
    return lookup_16(x, table).astype(np.int16)


@cache
def logistic_table() -> Array:
    """logistic(i / 24) * 2**16 for i in 0 ... 255, as TFLite's sigmoid_table_uint16 has it; int64."""
    exact = 65536 / (1 + np.exp(-np.arange(256) / 24))
    table: Array = np.rint(exact).astype(np.int64)
    table[list(_ROUNDED_UP)] += 1
    return table


def power_of_two(scale: float) -> int | None:
    """log2 of a scale that is a power of two (within CheckedLog2's 1e-3), else None."""
    log2 = np.float32(math.log(scale)) * np.float32(1 / math.log(2))
    rounded = float(round_half_away(np.asarray(log2)))
    return int(rounded) if abs(float(log2) - rounded) < 1e-3 else None


def input_steps(scale: float, exact_shifts: tuple[int, ...]) -> tuple[int, int]:
    """(multiplier, right shift) that brings int16 values to the table's 1 / (3 * 4096) per unit.

    A power-of-two scale whose shift is among `exact_shifts` needs no rounding.
    """
    log2 = power_of_two(scale)
    if log2 is not None and 12 + log2 in exact_shifts:
        return 3 << (12 + log2), 0
    multiplier, shift = scale * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    return int(multiplier), shift


def _to_steps(x: Array, scale: float, exact_shifts: tuple[int, ...]) -> Array:
    multiplier, shift = input_steps(scale, exact_shifts)
    rounding = 1 << (shift - 1) if shift else 0
    return (np.asarray(x, np.int64) * multiplier + rounding) >> shift


def logistic_16(x: Array, scale: float) -> Array:
    """int16 logistic with an output scale of 1 / 32768, interpolated in `logistic_table`."""
    steps = _to_steps(x, scale, (0,))
    size = np.abs(steps)
    index = np.minimum(size >> 9, 254)
    table = logistic_table()
    inside = (table[index] << 9) + (size & 0x1FF) * (table[index + 1] - table[index])
    result = np.where(size >> 9 >= 255, 0x7FFF << 10, inside)
    result = np.where(steps >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1)
    return (result >> 10).astype(np.int16)


def tanh_16(x: Array, scale: float) -> Array:
    """int16 tanh with an output scale of 1 / 32768: 2 * logistic(2 * x) - 1 in the same table."""
    steps = _to_steps(x, scale, (0, 1))
    size = np.abs(steps)
    index = np.minimum(size >> 8, 254)
    table = logistic_table()
    inside = (table[index] << 8) + (size & 0xFF) * (table[index + 1] - table[index])
    result = np.where(size >> 8 >= 255, 0xFFFF << 8, inside)
    half = 1 << 23
    result = np.where(steps >= 0, result - half + (1 << 7), -result + half + (1 << 7) - 1)
    return (result >> 8).astype(np.int16)


def input_radius(integer_bits: int, left_shift: int, total_bits: int) -> int:
    """Inputs of at least this size saturate a fixed-point function (CalculateInputRadius)."""
    return math.floor(((1 << integer_bits) - 1) * 2.0 ** (total_bits - integer_bits) / 2.0**left_shift)


def input_multiplier(scale: float, integer_bits: int) -> tuple[int, int]:
    """(multiplier, left shift) that brings stored inputs to `integer_bits` integer bits of 32."""
    return quantize_multiplier(float(np.float32(scale)) * 2.0 ** (31 - integer_bits))
