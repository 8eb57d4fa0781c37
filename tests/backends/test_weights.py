"""Packed layouts against their definition, element by element, and the identities that folded biases rest on."""

from __future__ import annotations

import numpy as np
import pytest

from edged_backends.catalogue import ARCHES, KernelRow
from edged_backends.weights import activation_bias, fold_bias, pack, pack_winograd, pad, sums, up

VNNI = KernelRow(-1, ARCHES["avx512"] | ARCHES["vnni"], "conv_s8", "some_vnni", 8, 16, 4)
SCALAR = KernelRow(-1, 0, "conv_s8", "some_scalar")
SMMLA = KernelRow(-1, ARCHES["neon"] | ARCHES["i8mm"], "conv_s8", "some_i8mm", 8, 8, 8)


@pytest.mark.parametrize("row", [VNNI, SCALAR, SMMLA])
@pytest.mark.parametrize(("channels", "segments", "length"), [(1, 1, 1), (17, 3, 9), (32, 9, 4), (5, 2, 7)])
def test_every_weight_stands_at_its_place(row: KernelRow, channels: int, segments: int, length: int) -> None:
    plain = np.arange(1, channels * segments * length + 1, dtype=np.int32).reshape(channels, -1)
    groups = up(length, row.kr) // row.kr
    packed = pack(plain, row, segments).reshape(-1, segments, groups, row.nr, row.kr)
    for n in range(channels):
        for k in range(segments * length):
            s, within = divmod(k, length)
            g, j = divmod(within, row.kr)
            assert packed[n // row.nr, s, g, n % row.nr, j] == plain[n, k]
    assert np.count_nonzero(packed) == plain.size, "what pads is zero"


def test_plain_rows_are_left_as_they_are() -> None:
    plain = np.arange(12).reshape(3, 4)
    assert pack(plain, SCALAR, 2, ones=True).tolist() == list(range(12))


def test_the_block_of_ones_sums_activations() -> None:
    block = pack(np.zeros((3, 9), np.int8), VNNI, 3, ones=True).reshape(2, 3, 1, 16, 4)[1]
    assert block[:, 0, :, :3].all()
    assert not block[:, 0, :, 3].any()


@pytest.mark.parametrize("row", [VNNI, SCALAR])
def test_the_folded_bias_makes_up_for_both_zero_points(row: KernelRow) -> None:
    rng = np.random.default_rng(1)
    w, x = rng.integers(-128, 128, (5, 30)), rng.integers(-128, 128, 30)
    bias, iz, wz = rng.integers(-1000, 1000, 5), -7, 3
    raised = x + activation_bias(row)
    got = fold_bias(w, bias, row, iz, wz)[:5] + w @ raised - wz * raised.sum()
    assert got.tolist() == ((w - wz) @ (x - iz) + bias).tolist()


def test_folded_biases_wrap_as_int32_does() -> None:
    folded = fold_bias(np.full((1, 4), 127), np.array([2**31 - 1]), SCALAR, -128, 0)
    assert folded.tolist() == [(2**31 - 1 + 128 * 4 * 127) - 2**32]


def test_padding_and_sums() -> None:
    assert pad(np.array([1, 2, 3], np.int32), SMMLA).tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    assert sums(np.array([[127] * 4, [-128] * 4], np.int8)).tolist() == [508, -512]


@pytest.mark.parametrize("side", [2, 4])
def test_winograd_weights_convolve(side: int) -> None:
    """The middle tap alone becomes the outer product of the middle column of G with itself."""
    g = np.zeros((1, 3, 3, 1))
    g[0, 1, 1, 0] = 1.0
    positions = pack_winograd(g.reshape(1, 9), 1, side, SCALAR).reshape(side + 2, side + 2)
    middle = np.array([0, 0.5, -0.5, 0]) if side == 2 else np.array([0, -1, 1, 0.5, -0.5, 0]) / 6
    np.testing.assert_allclose(positions, np.outer(middle, middle), atol=1e-7)
