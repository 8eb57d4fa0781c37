"""Fixed-point arithmetic against its definition in exact integers, over borders and random values."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from edged.graph.ops import fixedpoint as fp

LEAST, MOST = -(1 << 31), (1 << 31) - 1
EDGES = [LEAST, LEAST + 1, -(1 << 30), -3, -2, -1, 0, 1, 2, 3, 1 << 30, MOST - 1, MOST]


def _values(count: int = 2000) -> list[int]:
    rng = np.random.default_rng(0)
    wide = rng.integers(LEAST, MOST + 1, count)
    return EDGES + (wide >> rng.integers(0, 31, count)).tolist()


def _half_away(value: Fraction) -> int:
    size = math.floor(abs(value) + Fraction(1, 2))
    return size if value >= 0 else -size


def _truncated(numerator: int, denominator: int) -> int:
    """C's division."""
    size = abs(numerator) // denominator
    return size if numerator >= 0 else -size


def test_high_mul_is_gemmlowps() -> None:
    values = _values()
    others = list(reversed(values))
    ours = fp.saturating_rounding_doubling_high_mul(np.array(values), np.array(others))
    for a, b, result in zip(values, others, ours.tolist(), strict=True):
        product = a * b
        nudge = (1 << 30) if product >= 0 else 1 - (1 << 30)
        expected = MOST if a == b == LEAST else _truncated(product + nudge, 1 << 31)
        assert result == expected, (a, b)


@pytest.mark.parametrize("exponent", [0, 1, 2, 7, 15, 30, 31])
def test_divide_by_pot_rounds_halves_away_from_zero(exponent: int) -> None:
    values = _values()
    ours = fp.rounding_divide_by_pot(np.array(values), exponent)
    assert ours.tolist() == [_half_away(Fraction(v, 1 << exponent)) for v in values]


@pytest.mark.parametrize(
    "real", [0.0, 1e-12, 2.0**-31, 0.0003, 0.25, 0.49999999999, 0.5, 0.99999999999, 1.0, 3.7, 1e9]
)
def test_multipliers_hold_their_number(real: float) -> None:
    multiplier, shift = fp.quantize_multiplier(real)
    assert multiplier == 0 or 1 << 30 <= multiplier <= MOST
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(real, rel=2.0**-30, abs=2.0**-32)


def test_multiply_is_two_roundings() -> None:
    values = [v for v in _values() if abs(v) < 1 << 20]
    multiplier, shift = fp.quantize_multiplier(0.0123)
    ours = fp.multiply_by_quantized_multiplier(np.array(values), multiplier, shift)
    for value, result in zip(values, ours.tolist(), strict=True):
        high = (value * multiplier + (1 << 30)) >> 31
        assert result == _half_away(Fraction(high, 1 << -shift))


def test_the_64_bit_multiplier_rounds_once_upwards() -> None:
    values = np.random.default_rng(1).integers(-(1 << 46), 1 << 46, 1000)
    multiplier, shift = fp.quantize_multiplier(0.00001)
    reduced = (multiplier + (1 << 15)) >> 16
    expected = [(int(v) * reduced + (1 << (14 - shift))) >> (15 - shift) for v in values]
    assert fp.multiply_by_quantized_multiplier_64(values, multiplier, shift).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_half_away_is_exact_next_to_a_half(dtype: type) -> None:
    below = np.nextafter(dtype(0.5), dtype(0))
    values = np.array([0.5, -0.5, 1.5, -2.5, below, -below, 3.0, 2.0**23 + 1, -(2.0**23) - 1], dtype)
    assert fp.round_half_away(values).tolist() == [1, -1, 2, -3, 0, 0, 3, 2**23 + 1, -(2**23) - 1]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("NONE", (-128, 127)),
        ("RELU", (-10, 127)),
        ("RELU6", (-10, 50)),
        ("RELU_N1_TO_1", (-20, 0)),
        ("TANH", (-128, 127)),
    ],
)
def test_activation_ranges(activation: str, expected: tuple[int, int]) -> None:
    assert fp.activation_range(activation, 0.1, -10, "int8") == expected
