"""Shared parts of layers with weights: quantising rows as they come, and exact sums."""

from __future__ import annotations

import numpy as np
import pytest

from edged.graph.ops.weighted import add_bias, exact_matmul, hybrid_weights, quantise_rows, scales_of
from support.build import quant


@pytest.mark.parametrize("asymmetric", [False, True])
def test_rows_come_back_within_half_a_step(asymmetric: bool) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 33)).astype(np.float32) + 1
    values, scales, zeros = quantise_rows(rows, asymmetric)
    real = (values - zeros[:, None]) * scales[:, None]
    assert np.abs(real - rows).max() <= 0.51 * scales.max()
    assert np.array_equal(values, np.rint(values))
    assert -128 <= values.min() <= values.max() <= 127


def test_symmetric_rows_use_the_whole_range() -> None:
    values, scales, zeros = quantise_rows(np.array([[1, -2, 0.5]], np.float32), False)
    assert values.tolist() == [[64, -127, 32]]
    assert scales[0] == np.float32(2) / np.float32(127)
    assert zeros.tolist() == [0]


@pytest.mark.parametrize("asymmetric", [False, True])
def test_zero_rows_are_zeros_of_scale_one(asymmetric: bool) -> None:
    values, scales, zeros = quantise_rows(np.zeros((2, 4), np.float32), asymmetric)
    assert not values.any()
    assert not zeros.any()
    assert scales.tolist() == [1, 1]


@pytest.mark.parametrize("asymmetric", [False, True])
def test_zero_stays_exact(asymmetric: bool) -> None:
    rows = np.array([[0, 3, 7], [0, -3, 1], [0, -5, -6]], np.float32)
    values, _, zeros = quantise_rows(rows, asymmetric)
    assert np.array_equal(values[:, 0], zeros)


def test_sums_are_exact() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-32768, 32768, (5, 4000)), rng.integers(-128, 128, (4000, 7))
    assert np.array_equal(exact_matmul(a, b), a @ b)
    assert add_bias(exact_matmul(a, b), np.full(7, 1 << 40)).dtype == np.int64


def test_old_hybrid_bytes_are_read_as_int8() -> None:
    assert hybrid_weights(np.array([255, 1, 129], np.uint8)).tolist() == [-1, 1, -127]


def test_one_scale_serves_all_channels() -> None:
    assert scales_of(quant(0.5), 3).tolist() == [0.5, 0.5, 0.5]
    assert scales_of(quant([0.5, 0.25]), 2).tolist() == [0.5, 0.25]
    assert scales_of(None, 2).tolist() == [1, 1]
