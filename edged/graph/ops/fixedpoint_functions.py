"""Exponential, logistic, tanh, reciprocal and inverse square root in fixed point, as gemmlowp and TFLite.

A value of `bits` bits (32 or 16) with k integer bits stands for raw / 2**(bits - 1 - k). Arrays hold raw
values in int64. Sources: gemmlowp/fixedpoint/fixedpoint.h; GetReciprocal and GetInvSqrtQuantizedMultiplierExp
of TFLite's kernels/internal/common.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.ops.fixedpoint import rounding_divide_by_pot

Array = np.ndarray[Any, np.dtype[Any]]

_BARREL = (
    (-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242),
)  # fmt: skip
"""(n, exp(-2**n) with no integer bits)."""


def _limits(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def _wrap(x: Array, bits: int) -> Array:
    half = np.int64(1) << (bits - 1)
    return ((x + half) & ((np.int64(1) << bits) - 1)) - half


def _constant(raw32: int, bits: int) -> int:
    """A 32-bit constant in the width of `bits`, rounded."""
    return int(rounding_divide_by_pot(np.asarray(raw32), 32 - bits))


def high_mul(a: Array, b: Array | int, bits: int = 32) -> Array:
    """SaturatingRoundingDoublingHighMul: the product of two numbers; their integer bits add up."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    high: Array = np.minimum((product + (1 << (bits - 2))) >> (bits - 1), _limits(bits)[1])
    return high


def multiply_by_pot(x: Array, exponent: int, bits: int = 32) -> Array:
    """SaturatingRoundingMultiplyByPOT: x * 2**exponent."""
    if exponent <= 0:
        return rounding_divide_by_pot(x, -exponent)
    low, high = _limits(bits)
    shifted: Array = np.clip(np.asarray(x, np.int64) << exponent, low, high)
    return shifted


def rescale(x: Array, source: int, target: int, bits: int = 32) -> Array:
    """The same number with `target` instead of `source` integer bits."""
    return multiply_by_pot(x, source - target, bits)


def _exp_near_zero(a: Array, bits: int) -> Array:
    """exp of [-1/4, 0), no integer bits: a Taylor expansion around -1/8."""
    constant_term, third = _constant(1895147668, bits), _constant(715827883, bits)
    x = _wrap(a + (1 << (bits - 4)), bits)
    x2 = high_mul(x, x, bits)
    x3, x4 = high_mul(x2, x, bits), high_mul(x2, x2, bits)
    quarter = multiply_by_pot(x4, -2, bits)
    higher = multiply_by_pot(_wrap(high_mul(_wrap(quarter + x3, bits), third, bits) + x2, bits), -1, bits)
    total = constant_term + high_mul(_wrap(x + higher, bits), constant_term, bits)
    return np.clip(total, *_limits(16)) if bits == 16 else _wrap(total, bits)


def exp_on_negative_values(a: Array, integer_bits: int, bits: int = 32) -> Array:
    """exp(a) for a <= 0 with `integer_bits`; the result has none."""
    a = np.asarray(a, np.int64)
    fraction = bits - 1 - integer_bits
    quarter = np.int64(1) << (fraction - 2)
    rest = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(rescale(rest, integer_bits, 0, bits), bits)
    remainder = _wrap(rest - a, bits)
    for exponent, raw in _BARREL:
        if integer_bits > exponent:
            hit = (remainder & (np.int64(1) << (fraction + exponent))) != 0
            result = np.where(hit, high_mul(result, _constant(raw, bits), bits), result)
    if integer_bits > 5:
        result = np.where(a < _constant(-(1 << (36 - integer_bits)), bits), 0, result)
    return np.where(a == 0, _limits(bits)[1], result)


def _half_denominator_inverse(a: Array, bits: int) -> Array:
    """2 / (1 + a) for a in (0, 1) without integer bits; two in the result. Three Newton-Raphson steps."""
    total = np.asarray(a, np.int64) + _limits(bits)[1]
    half = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    x = _wrap(_constant(1515870810, bits) + high_mul(half, _constant(-1010580540, bits), bits), bits)
    one = np.int64(1) << (bits - 3)
    for _ in range(3):
        error = _wrap(one - high_mul(half, x, bits), bits)
        x = _wrap(x + rescale(high_mul(x, error, bits), 4, 2, bits), bits)
    return x


def one_over_one_plus_x(a: Array, bits: int = 32) -> Array:
    """1 / (1 + a) for a in (0, 1), without integer bits."""
    return rescale(_half_denominator_inverse(a, bits), 1, 0, bits)


def logistic(a: Array, integer_bits: int, bits: int = 32) -> Array:
    """1 / (1 + exp(-a)); the result has no integer bits."""
    a = np.asarray(a, np.int64)
    above = one_over_one_plus_x(exp_on_negative_values(-np.abs(a), integer_bits, bits), bits)
    result = np.where(a > 0, above, _limits(bits)[1] - above)
    return np.where(a == 0, _constant(1 << 30, bits), result)


def tanh(a: Array, integer_bits: int, bits: int = 32) -> Array:
    """tanh(a); the result has no integer bits."""
    a = np.asarray(a, np.int64)
    power = exp_on_negative_values(-np.abs(a), integer_bits + 1, bits)
    one = np.int64(1) << (bits - 3)
    size = rescale(_wrap(_half_denominator_inverse(power, bits) - one, bits), 2, 0, bits)
    return np.where(a == 0, 0, np.where(a < 0, -size, size))


def reciprocal(x: Array, integer_bits: int) -> tuple[Array, Array]:
    """(raw 1/x scaled into (1/2, 1] without integer bits, bits over unit) of positive 32-bit values.

    The real reciprocal is raw / 2**31 / 2**over; TFLite's GetReciprocal.
    """
    x = np.asarray(x, np.int64)
    headroom = 32 - _bit_length(x)
    shifted = (x << headroom) - (np.int64(1) << 31)
    return one_over_one_plus_x(shifted), integer_bits - headroom


def _bit_length(x: Array) -> Array:
    """Bits that a non-negative value below 2**53 takes."""
    return np.frexp(x.astype(np.float64))[1].astype(np.int64)


def inverse_sqrt_multiplier(value: int) -> tuple[int, int]:
    """(multiplier, shift to the right) of 1 / sqrt(value), as GetInvSqrtQuantizedMultiplierExp."""
    if value <= 1:
        return (1 << 31) - 1, 0
    shift = 11
    while value >= 1 << 29:
        value //= 4
        shift += 1
    pairs = (32 - value.bit_length() - 1) // 2 - 1
    shift -= pairs
    value <<= 2 * pairs
    number = np.asarray(value >> 1, np.int64)
    half_input = multiply_by_pot(number, -1)
    x = np.asarray(np.int64(1 << 28))
    for _ in range(5):
        cube = rescale(high_mul(high_mul(x, x), x), 9, 3)
        x = rescale(_wrap(high_mul(x, (1 << 28) + (1 << 27)) - high_mul(half_input, cube), 32), 6, 3)
    inverse = int(high_mul(x, 1518500250))
    if shift < 0:
        return inverse << -shift, 0
    return inverse, shift
