"""Sparse constants to dense arrays, from TFLite's encoding (schema.fbs, SparsityParameters).

A traversal visits the dimensions, blocks last; each level is dense, or compressed as in CSR: `segments[p]` to
`segments[p + 1]` delimit the `indices` that parent position p has. The last level's positions number the
values.
"""

from __future__ import annotations

from math import prod

import numpy as np

from edged.errors import ModelError
from edged.graph.arrays import Array
from edged.graph.model import Sparsity, Tensor

MOST = 256 << 20
"""Bytes that a sparse constant may take as a dense array: a small file may promise any size."""


def dense(tensor: Tensor, stored: Array) -> Array:
    """The array of a sparse constant from its stored elements; `stored` itself where it is dense already.

    Expects a legal encoding, which is `edged.graph.verify`'s business. ModelError over MOST bytes.
    """
    if tensor.sparsity is None or stored.shape == tensor.shape:
        return stored
    nbytes = prod(tensor.shape) * stored.itemsize
    if nbytes > MOST:
        raise ModelError(
            f"{tensor.name}: a sparse constant that takes {nbytes} bytes as a dense one; {MOST} are allowed",
            remedy="store it dense, or split the layer",
        )
    positions, coordinates = _walk(tensor.sparsity)
    rank = len(tensor.shape)
    places = coordinates[:rank]
    for block, (axis, inner) in enumerate(zip(tensor.sparsity.block_map, coordinates[rank:], strict=True)):
        places[axis] = places[axis] * _block_size(tensor.sparsity, rank + block) + inner
    result = np.zeros(tensor.shape, stored.dtype)
    result[tuple(places)] = stored.reshape(-1)[positions]
    return result


def _walk(sparsity: Sparsity) -> tuple[Array, list[Array]]:
    """Positions of all stored values, and their coordinates, by dimension of the encoding."""
    positions = np.zeros(1, np.int64)
    coordinates: dict[int, Array] = {}
    for dimension, (size, indices) in zip(sparsity.traversal, sparsity.dims, strict=True):
        if isinstance(size, int):
            counts = np.full(len(positions), size)
            local = np.tile(np.arange(size), len(positions))
            following, here = np.repeat(positions, counts) * size + local, local
        else:
            segments = np.asarray(size, np.int64)
            starts, counts = segments[positions], segments[positions + 1] - segments[positions]
            first = np.cumsum(counts) - counts
            following = np.repeat(starts - first, counts) + np.arange(counts.sum())
            here = np.asarray(indices, np.int64)[following]
        coordinates = {d: np.repeat(c, counts) for d, c in coordinates.items()}
        coordinates[dimension], positions = here, following
    return positions, [coordinates[d] for d in sorted(coordinates)]


def _block_size(sparsity: Sparsity, dimension: int) -> int:
    size = sparsity.dims[sparsity.traversal.index(dimension)][0]
    assert isinstance(size, int), "blocks are dense"
    return size
