"""EMBEDDING_LOOKUP_SPARSE: weighted sums of embedding rows, by the rows of a sparse matrix; float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ModelError, ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr

Shapes = Sequence[Shape | None]


def _result(node: Node, dense: Array, values: Shape) -> Shape:
    if dense.ndim != 1 or len(dense) < 2 or len(values) < 2:
        raise ShapeError(f"{node.where}: dense shape {dense.tolist()} and values {values} need 2 dimensions")
    return (*(int(d) for d in dense[:-1]), *values[1:])


def infer_embedding_lookup_sparse(node: Node, shapes: Shapes, value: Value) -> Shapes:
    dense, values = value(2), shapes[4]
    return [None if dense is None or values is None else _result(node, dense, values)]


def embedding_lookup_sparse(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: ids (n), indices (n, rank), dense shape (rank), weights (n), values (rows, ...).

    Entry i adds weights[i] * values[ids[i]] to the output's row indices[i, :-1]; MEAN divides a row by its
    sum of weights, SQRTN by the root of its sum of squared weights. Source: TFLite's
    embedding_lookup_sparse.cc.
    """
    ids, indices, dense, weights, values = arrays
    assert ids is not None
    assert indices is not None
    assert dense is not None
    assert weights is not None
    assert values is not None
    shape = _result(node, dense, values.shape)
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(values):
        raise ModelError(
            f"{node.where}: ids reach from {ids.min()} to {ids.max()}, there are {len(values)} rows"
        )
    rows = np.ravel_multi_index(tuple(indices[:, :-1].T), tuple(dense[:-1]))
    total = np.zeros((int(np.prod(dense[:-1])), int(np.prod(values.shape[1:]))))
    np.add.at(total, rows, weights[:, None] * values.reshape(len(values), -1)[ids].astype(np.float64))
    divisor = np.zeros(len(total))
    combiner = attr(node, "combiner", "SUM")
    if combiner != "SUM":
        np.add.at(divisor, rows, weights.astype(np.float64) ** (1 if combiner == "MEAN" else 2))
        divisor = np.sqrt(divisor) if combiner == "SQRTN" else divisor
        total = total / np.where(divisor == 0, 1, divisor)[:, None]
    return [total.astype(np.float32).reshape(shape)]


OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "embedding_lookup_sparse",
        infer_embedding_lookup_sparse,
        embedding_lookup_sparse,
        {"combiner": "SUM"},
        (5, 5),
    ),
)
