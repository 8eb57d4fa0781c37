"""Sparse constants decode to the dense arrays they were made from."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ModelError
from edged.graph.arrays import constant
from edged.graph.constants import fold_constants
from edged.graph.model import DType, Graph, Node, Sparsity, Tensor
from edged.graph.sparse import dense


def _tensor(shape: tuple[int, ...], sparsity: Sparsity) -> Tensor:
    return Tensor("t", DType.FLOAT32, shape, data=memoryview(b""), sparsity=sparsity)


def test_a_dense_tensor_is_itself() -> None:
    stored = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert dense(Tensor("t", DType.FLOAT32, (2, 3)), stored) is stored


def test_rows_of_compressed_columns() -> None:
    sparsity = Sparsity((0, 1), (), ((3, None), ([0, 2, 2, 3], [0, 3, 1])))
    expected = [[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]]
    assert dense(_tensor((3, 4), sparsity), np.array([1, 2, 3], np.float32)).tolist() == expected


def test_columns_first() -> None:
    sparsity = Sparsity((1, 0), (), ((2, None), ([0, 1, 3], [2, 0, 1])))
    expected = [[0, 8], [0, 9], [7, 0]]
    assert dense(_tensor((3, 2), sparsity), np.array([7, 8, 9], np.float32)).tolist() == expected


def test_blocks() -> None:
    """4 x 4 in blocks of 2 x 2, the two on the diagonal stored."""
    sparsity = Sparsity((0, 1, 2, 3), (0, 1), ((2, None), ([0, 1, 2], [0, 1]), (2, None), (2, None)))
    expected = [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 5, 6], [0, 0, 7, 8]]
    assert dense(_tensor((4, 4), sparsity), np.arange(1, 9, dtype=np.float32)).tolist() == expected


def test_random_matrices() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows, columns = rng.integers(1, 9, 2).tolist()
        whole = np.where(rng.random((rows, columns)) < 0.3, rng.normal(size=(rows, columns)), 0).astype(
            np.float32
        )
        where, places = np.nonzero(whole)
        segments = np.concatenate([[0], np.cumsum(np.bincount(where, minlength=rows))]).tolist()
        sparsity = Sparsity((0, 1), (), ((rows, None), (segments, places.tolist())))
        assert np.array_equal(dense(_tensor((rows, columns), sparsity), whole[where, places]), whole)


def test_a_small_file_cannot_ask_for_any_memory() -> None:
    sparsity = Sparsity((0, 1), (), ((1 << 16, None), ([0] * ((1 << 16) + 1), [])))
    with pytest.raises(ModelError, match="17179869184 bytes as a dense one"):
        dense(_tensor((1 << 16, 1 << 16), sparsity), np.zeros(0, np.float32))


def test_a_sparse_constant_is_folded_at_load() -> None:
    sparsity = Sparsity((0, 1), (), ((3, None), ((0, 1, 1, 3), (1, 0, 3))))
    stored = memoryview(np.array([1, 2, 3], np.float32).tobytes())
    weights = Tensor("weights", DType.FLOAT32, (3, 4), data=stored, sparsity=sparsity)
    opened, x, y = (Tensor(n, DType.FLOAT32, (3, 4)) for n in ("opened", "x", "y"))
    nodes = (Node("densify", (weights,), (opened,)), Node("add", (x, opened), (y,)))
    (left,) = fold_constants(Graph("g", (x,), (y,), nodes)).nodes
    assert constant(left.input(1)).tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [2, 0, 0, 3]]
