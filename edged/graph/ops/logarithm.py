"""The natural logarithm of fixed-point numbers of at least one, as TFLite's
log_x_for_x_greater_than_or_equal_to_1.

Arrays hold raw 32-bit values in int64. The mantissa is brought near sqrt(sqrt(1/2)) twice, once with another
factor of sqrt(1/2), and the nearer one goes through a rational approximation.
"""

from __future__ import annotations

import numpy as np

from edged.graph.ops.fixedpoint import INT32_MAX, INT32_MIN, wrap_int32
from edged.graph.ops.fixedpoint_functions import high_mul, one_over_one_plus_x, rescale
from edged.graph.ops.spec import Array

_LOG_2 = 1488522236
_SQRT_SQRT_HALF = 1805811301
_SQRT_HALF = 1518500250
_QUARTER = 536870912
_ALPHA_N = 117049297
_ALPHA_D = 127690142
_ALPHA_I = 1057819769
_ALPHA_F = 638450708


def _saturated(x: Array) -> Array:
    return np.asarray(np.clip(x, INT32_MIN, INT32_MAX))


def _leading_zeros(x: Array) -> Array:
    return 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)


def log_above_one(x: Array, input_bits: int, output_bits: int) -> Array:
    """log of values with `input_bits` integer bits, in `output_bits` integer bits."""
    work_bits = output_bits + 1
    quarter = rescale(np.asarray(_QUARTER), 0, work_bits)
    headroom = _leading_zeros(x)
    first = _saturated(high_mul(_saturated(x << (headroom - 1)), _SQRT_HALF) << 1)
    first_power = _saturated(_saturated((input_bits - headroom) << (31 - work_bits)) + quarter)
    second_headroom = _leading_zeros(high_mul(x, _SQRT_HALF)) - 1
    second = _saturated(x << second_headroom)
    second_power = _saturated(_saturated((input_bits - second_headroom) << (31 - work_bits)) - quarter)
    mantissa, power = np.minimum(first, second), np.maximum(first_power, second_power)
    numerator, inverse = _near_sqrt_sqrt_half(mantissa)
    fraction = rescale(numerator, 0, work_bits)
    total = wrap_int32(high_mul(power, _LOG_2) + high_mul(fraction, inverse))
    return rescale(total, work_bits, output_bits)


def _near_sqrt_sqrt_half(r: Array) -> tuple[Array, Array]:
    """(numerator, inverse of the denominator) of the approximation around sqrt(sqrt(1/2))."""
    total = r + _SQRT_SQRT_HALF
    p = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    q = wrap_int32(2 * (r - _SQRT_SQRT_HALF))
    square = high_mul(q, q)
    numerator = wrap_int32(high_mul(q, r) + high_mul(high_mul(q, square), _ALPHA_N))
    inner = wrap_int32(_ALPHA_I + q + high_mul(square, _ALPHA_D))
    denominator = wrap_int32(high_mul(p, inner) + high_mul(q, _ALPHA_F))
    return numerator, one_over_one_plus_x(denominator)
