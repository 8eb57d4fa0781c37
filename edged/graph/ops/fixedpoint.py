"""Fixed-point arithmetic of TFLite's integer kernels, vectorised in NumPy and exact.

Sources: gemmlowp/fixedpoint/fixedpoint.h (SaturatingRoundingDoublingHighMul, RoundingDivideByPOT) and
kernels/internal/{common,quantization_util} of TFLite (QuantizeMultiplier, MultiplyByQuantizedMultiplier
with double rounding). Multiplier and shift are TFLite's: real = multiplier * 2**(shift - 31), shift > 0 to
the left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(multiplier in [2**30, 2**31), shift) of a positive real number; (0, 0) for 0 and for what is too
    small."""
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = int(_round_half_away(fraction * (1 << 31)))
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return INT32_MAX, 30
    return multiplier, shift


def quantize_multipliers(reals: Iterable[float]) -> tuple[Array, Array]:
    """Arrays (int64) of multipliers and shifts."""
    pairs = [quantize_multiplier(float(r)) for r in reals]
    return np.array([m for m, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64)


def _round_half_away(value: float) -> float:
    whole = math.trunc(value)
    return whole + math.copysign(1.0, value) if abs(value - whole) >= 0.5 else whole


def round_half_away(values: Array) -> Array:
    """std::round: halves away from zero (NumPy rounds them to even), for every float there is."""
    values = np.asarray(values)
    whole = np.trunc(values)
    rounded: Array = whole + np.copysign(np.abs(values - whole) >= 0.5, values).astype(whole.dtype)
    return rounded


def saturating_rounding_doubling_high_mul(a: Array, b: Array | int) -> Array:
    """gemmlowp's SaturatingRoundingDoublingHighMul of int32 values held in int64.

    Its truncating division with a sign-dependent nudge is floor((a * b + 2**30) / 2**31) for every pair but
    the saturating one.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    high: Array = np.minimum((product + (1 << 30)) >> 31, INT32_MAX)
    return high


def rounding_divide_by_pot(x: Array, exponent: Array | int) -> Array:
    """gemmlowp's RoundingDivideByPOT: x / 2**exponent, halves away from zero."""
    x = np.asarray(x, np.int64)
    exponent = np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    quotient: Array = (x >> exponent) + ((x & mask) > threshold)
    return quotient


def wrap_int32(x: Array) -> Array:
    """int64 -> what an int32 register would hold."""
    return ((np.asarray(x, np.int64) + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def multiply_by_quantized_multiplier(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """int32 values times a real multiplier, with double rounding; int64 array of int32 values."""
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = wrap_int32(np.asarray(x, np.int64) << left)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, multiplier), right)


def multiply_by_quantized_multiplier_64(x: Array, multiplier: Array | int, shift: Array | int) -> Array:
    """The int64 accumulator's variant (16x8): the multiplier is reduced to 16 bits, one rounding.

    TFLite: reduced = (multiplier + 2**15) >> 16 (0x7FFF where that would overflow); result = (x * reduced +
    2**(14 - shift)) >> (15 - shift). It cuts the result to 32 bits there, which turns a value beyond them
    over; this does not, and such a value saturates.
    """
    multiplier = np.asarray(multiplier, np.int64)
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    total = 15 - np.asarray(shift, np.int64)
    return (np.asarray(x, np.int64) * reduced + (np.int64(1) << (total - 1))) >> total


def integer_range(dtype: str) -> tuple[int, int]:
    """Least and greatest value of an integer dtype."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def activation_range(activation: str, scale: float, zero_point: int, dtype: str) -> tuple[int, int]:
    """The stored values that a fused activation clamps to (CalculateActivationRangeQuantized)."""
    low, high = integer_range(dtype)

    def stored(real: float) -> int:
        return zero_point + int(_round_half_away(float(np.float32(np.float32(real) / np.float32(scale)))))

    if activation == "RELU":
        return max(low, stored(0.0)), high
    if activation == "RELU6":
        return max(low, stored(0.0)), min(high, stored(6.0))
    if activation == "RELU_N1_TO_1":
        return max(low, stored(-1.0)), min(high, stored(1.0))
    return low, high


FLOAT_ACTIVATIONS: dict[str, tuple[float, float]] = {
    "RELU": (0.0, math.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


def activate(x: Array, activation: str) -> Array:
    """A fused activation on float values: TFLite's kernels clamp, and take TANH and SIGN_BIT for NONE.

    (Only recurrent layers and dynamic-range dense ones compute those two: `edged.graph.ops.activation`.)
    """
    if activation in FLOAT_ACTIVATIONS:
        low, high = FLOAT_ACTIVATIONS[activation]
        return np.clip(x, np.asarray(low, x.dtype), np.asarray(high, x.dtype))
    return x
