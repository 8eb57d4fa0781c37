"""Fixed-point functions: near the real ones everywhere, exact at their borders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edged.graph.ops import fixedpoint_functions as functions
from edged.graph.ops.spec import Array

ALL_16 = np.arange(-(1 << 15), 1 << 15)
SOME_32 = np.concatenate(
    [[-(1 << 31), -1, 0, 1, (1 << 31) - 1], np.random.default_rng(0).integers(-(1 << 31), 1 << 31, 20000)]
)
WIDTHS = pytest.mark.parametrize(("bits", "values", "error"), [(16, ALL_16, 5e-4), (32, SOME_32, 3e-7)])


def _logistic(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


@WIDTHS
@pytest.mark.parametrize("integer_bits", [0, 3, 4])
@pytest.mark.parametrize(
    ("ours", "real"), [(functions.logistic, _logistic), (functions.tanh, np.tanh)], ids=["logistic", "tanh"]
)
def test_close_to_the_real_function(
    ours: Callable[..., Array],
    real: Callable[[Array], Array],
    integer_bits: int,
    bits: int,
    values: Array,
    error: float,
) -> None:
    unit = 2.0 ** (bits - 1)
    found = ours(values, integer_bits, bits) / unit
    assert np.abs(found - real(values / unit * 2.0**integer_bits)).max() < error


@WIDTHS
@pytest.mark.parametrize("integer_bits", [1, 3, 5, 6])
def test_exponential(integer_bits: int, bits: int, values: Array, error: float) -> None:
    negative = -np.abs(values)
    unit = 2.0 ** (bits - 1)
    found = functions.exp_on_negative_values(negative, integer_bits, bits) / unit
    assert np.abs(found - np.exp(negative / unit * 2.0**integer_bits)).max() < error
    assert functions.exp_on_negative_values(np.array(0), integer_bits, bits) == unit - 1


def test_logistic_of_zero_is_a_half_and_tanh_is_odd() -> None:
    assert functions.logistic(np.array(0), 3, 16) == 1 << 14
    inner = ALL_16[1:]
    assert np.array_equal(functions.tanh(inner, 3, 16), -functions.tanh(-inner, 3, 16))


def test_reciprocal() -> None:
    values = np.random.default_rng(0).integers(1 << 20, 1 << 31, 10000)
    raw, over = functions.reciprocal(values, 12)
    found = raw / 2.0**31 / 2.0**over
    assert np.allclose(found, 2.0**19 / values, rtol=1e-7)


@pytest.mark.parametrize("value", [1, 2, 3, 10, 1000, 123456789, (1 << 31) - 1])
def test_inverse_square_root(value: int) -> None:
    multiplier, shift = functions.inverse_sqrt_multiplier(value)
    assert shift >= 0
    assert multiplier / 2.0**31 / 2.0**shift == pytest.approx(value**-0.5, rel=1e-5)
