"""Weights in the layout of a kernel row, and the biases that go with it. Pure NumPy; used at load.

A row with NR and KR reads weights as [blocks of NR channels][segments][groups of KR depth][NR][KR]: the
depth of a channel is `segments` runs of equal length, each padded with zeros to a multiple of KR; channels
are padded with zeros to a multiple of NR. NR = KR = 1 is the plain [channels][depth].

int8 rows compute sum(input' * weight) with input' = input + b, b = activation_bias(row), so that
    sum((input - iz) * (weight - wz)) = sum(input' * weight) - wz * sum(input') - (iz + b) * sum(weight - wz).
The last term is folded into the bias here; the middle one is the kernel's, by a block of ones behind the last
block of channels (where wz != 0; rows of one pixel, mr = 1, add up the activations themselves).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.arrays import Array
from edged_backends.catalogue import ARCHES, KernelRow

Ints = np.ndarray[Any, np.dtype[np.int32]]


def activation_bias(row: KernelRow) -> int:
    """What an int8 row adds to activations before it multiplies: vpdpbusd's and tdpbusd's first operand is
    unsigned."""
    return 128 if row.arch & ARCHES["vnni"] else 0


def up(n: int, to: int) -> int:
    """n rounded up to a multiple of `to`."""
    return -(-n // to) * to


def pack(plain: Array, row: KernelRow, segments: int = 1, ones: bool = False) -> Array:
    """[channels, depth] -> the row's layout, flat. `ones` appends the block that sums activations."""
    channels, depth = plain.shape
    length = depth // segments
    padded = np.zeros((up(channels, row.nr), segments, up(length, row.kr)), plain.dtype)
    padded[:channels, :, :length] = plain.reshape(channels, segments, length)
    blocks = [_blocks(padded, row)]
    if ones and row.nr > 1 and row.mr > 1:
        extra = np.zeros((row.nr, *padded.shape[1:]), plain.dtype)
        extra[:, :, :length] = 1
        blocks.append(_blocks(extra, row))
    return np.concatenate(blocks)


def _blocks(padded: Array, row: KernelRow) -> Array:
    channels, segments, length = padded.shape
    split = padded.reshape(channels // row.nr, row.nr, segments, length // row.kr, row.kr)
    return np.ascontiguousarray(split.transpose(0, 2, 3, 1, 4)).reshape(-1)


def fold_bias(plain: Array, bias: Array | None, row: KernelRow, input_zero: int, weight_zero: int) -> Ints:
    """The int32 bias of each channel (padded to NR) with the zero points' term in it; wraps as int32 does."""
    channels = plain.shape[0]
    sums = plain.astype(np.int64).sum(axis=1) - weight_zero * plain.shape[1]
    whole = (0 if bias is None else bias.astype(np.int64)) - (input_zero + activation_bias(row)) * sums
    return pad(whole.astype(np.uint64).astype(np.uint32).view(np.int32).reshape(channels), row)


def sums(plain: Array) -> Ints:
    """The sum of each channel's weights."""
    summed: Ints = plain.astype(np.int64).sum(axis=1).astype(np.int32)
    return summed


def pad(per_channel: Array, row: KernelRow) -> Array:
    """A per-channel array with zeros up to a multiple of NR."""
    out = np.zeros(up(per_channel.size, row.nr), per_channel.dtype)
    out[: per_channel.size] = per_channel
    return out


_WINOGRAD_G = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
        ]
    ),
}  # fmt: skip


def pack_winograd(plain: Array, in_c: int, side: int, row: KernelRow) -> Array:
    """[channels, 3 * 3 * in_c] -> G g G' for each position of F(side x side, 3x3), each packed."""
    g = plain.reshape(len(plain), 3, 3, in_c).astype(np.float64)
    transform = _WINOGRAD_G[side]
    spread = np.einsum("ik,nklc,jl->ijnc", transform, g, transform).astype(np.float32)
    matrices = spread.reshape(-1, len(plain), in_c)
    return np.concatenate([pack(matrix, row) for matrix in matrices])
