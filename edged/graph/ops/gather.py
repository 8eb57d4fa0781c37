"""Operators that pick and place by indices: gather, scatter, one-hot, top-k, unique, embedding and segment
sums.

An index out of range is the model's or the client's mistake: ShapeError names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import DType, Node, Shape
from edged.graph.ops.move import axis_of, ints, operand
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr

Shapes = Sequence[Shape | None]


def _checked(node: Node, indices: Array, size: int) -> Array:
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        bad = indices.min() if indices.min() < 0 else indices.max()
        raise ShapeError(f"{node.where}: index {bad} is out of range for a dimension of {size}")
    return indices.astype(np.int64)


def _gather_axes(node: Node, source: Shape, indices: Shape) -> tuple[int, int]:
    axis = axis_of(node, attr(node, "axis", 0), max(len(source), 1))
    batch = attr(node, "batch_dims", 0)
    batch = batch + len(indices) if batch < 0 else batch
    if not 0 <= batch <= min(axis, len(indices)) or source[:batch] != indices[:batch]:
        raise ShapeError(f"{node.where}: batch_dims {batch} does not fit {source} and {indices}")
    return axis, batch


def infer_gather(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, indices = shapes[0], shapes[1]
    if source is None or indices is None:
        return [None]
    axis, batch = _gather_axes(node, source, indices)
    return [(*source[:axis], *indices[batch:], *source[axis + 1 :])]


def gather(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, indices = operand(arrays, 0), operand(arrays, 1)
    axis, batch = _gather_axes(node, x.shape, indices.shape)
    picked = _checked(node, indices, x.shape[axis])
    if not batch:
        return [np.take(x, picked, axis=axis)]
    lead = x.shape[:batch]
    flat_x = x.reshape(prod(lead), *x.shape[batch:])
    flat_i = picked.reshape(prod(lead), *indices.shape[batch:])
    rows = [np.take(row, i, axis=axis - batch) for row, i in zip(flat_x, flat_i, strict=True)]
    return [np.stack(rows).reshape(*lead, *rows[0].shape)]


def infer_gather_nd(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, indices = shapes[0], shapes[1]
    if source is None or indices is None:
        return [None]
    if not indices or indices[-1] > len(source):
        raise ShapeError(f"{node.where}: indices of shape {indices} do not fit {source}")
    return [(*indices[:-1], *source[indices[-1] :])]


def _positions(node: Node, indices: Array, shape: Shape) -> tuple[Array, ...]:
    """Columns of an index tensor, each checked against its dimension."""
    return tuple(_checked(node, indices[..., i], shape[i]) for i in range(indices.shape[-1]))


def gather_nd(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, indices = operand(arrays, 0), operand(arrays, 1)
    infer_gather_nd(node, [x.shape, indices.shape], lambda _i: None)
    return [x[_positions(node, indices, x.shape)]]


def infer_scatter_nd(_node: Node, _shapes: Shapes, value: Value) -> Shapes:
    return [ints(value(2))]


def scatter_nd(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Zeros with the updates added at their places; equal indices add up."""
    indices, updates, shape = operand(arrays, 0), operand(arrays, 1), ints(operand(arrays, 2)) or ()
    result = np.zeros(shape, updates.dtype)
    if indices.shape[-1] > len(shape) or updates.shape != (*indices.shape[:-1], *shape[indices.shape[-1] :]):
        raise ShapeError(f"{node.where}: updates of {updates.shape} at {indices.shape} do not fit {shape}")
    np.add.at(result, _positions(node, indices, shape), updates)
    return [result]


def infer_sparse_to_dense(_node: Node, _shapes: Shapes, value: Value) -> Shapes:
    return [ints(value(1))]


def sparse_to_dense(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: indices, output shape, values, default."""
    indices, shape = operand(arrays, 0), ints(operand(arrays, 1)) or ()
    values, default = operand(arrays, 2), operand(arrays, 3)
    result = np.full(shape, default.reshape(-1)[0], values.dtype)
    places = (
        indices.reshape(-1, len(shape)) if len(shape) > 1 or indices.ndim == 2 else indices.reshape(-1, 1)
    )
    result[_positions(node, places, shape)] = values
    return [result]


def infer_one_hot(node: Node, shapes: Shapes, value: Value) -> Shapes:
    depth = ints(value(1))
    if depth is None or shapes[0] is None:
        return [None]
    axis = attr(node, "axis", -1)
    at = len(shapes[0]) if axis == -1 else axis
    return [(*shapes[0][:at], depth[0], *shapes[0][at:])]


def one_hot(node: Node, arrays: Arrays) -> Sequence[Array]:
    indices, depth = operand(arrays, 0), int(operand(arrays, 1).reshape(-1)[0])
    on, off = operand(arrays, 2).reshape(-1)[0], operand(arrays, 3).reshape(-1)[0]
    axis = attr(node, "axis", -1)
    at = indices.ndim if axis == -1 else axis
    hot = np.expand_dims(indices, at) == np.arange(depth).reshape(
        [-1 if i == at else 1 for i in range(indices.ndim + 1)]
    )
    return [np.where(hot, on, off).astype(operand(arrays, 2).dtype)]


def infer_topk(_node: Node, shapes: Shapes, value: Value) -> Shapes:
    count = ints(value(1))
    if count is None or shapes[0] is None:
        return [None, None]
    return [(*shapes[0][:-1], count[0])] * 2


def topk_v2(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The largest values of the last dimension, largest first; among equals the lower index first."""
    x, count = operand(arrays, 0), int(operand(arrays, 1).reshape(-1)[0])
    if not 0 <= count <= x.shape[-1]:
        raise ShapeError(f"{node.where}: k = {count} of {x.shape[-1]} values")
    flipped = x[..., ::-1]
    order = x.shape[-1] - 1 - np.argsort(flipped, axis=-1, kind="stable")[..., ::-1][..., :count]
    kind = np.int16 if len(node.outputs) > 1 and node.outputs[1].dtype is DType.INT16 else np.int32
    return [np.take_along_axis(x, order, axis=-1), order.astype(kind)]


def infer_unique(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [None, shapes[0]]


def unique(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Distinct values in order of first appearance, and for every element the place of its value among
    them."""
    x = operand(arrays, 0).reshape(-1)
    _, first, inverse = np.unique(x, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    kind = np.int64 if attr(node, "idx_out_type", "INT32") == "INT64" else np.int32
    return [x[np.sort(first)], rank[inverse.reshape(-1)].astype(kind)]


def infer_embedding(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if shapes[0] is None or shapes[1] is None:
        return [None]
    return [(*shapes[0], *shapes[1][1:])]


def embedding_lookup(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Rows of a table; int8 tables give float rows, with one scale or one a row."""
    ids, table = operand(arrays, 0), operand(arrays, 1)
    picked = _checked(node, ids, table.shape[0])
    rows = table[picked]
    quantization = node.input(1).quantization
    if rows.dtype.kind != "f" and node.outputs[0].dtype is DType.FLOAT32 and quantization is not None:
        scales = np.array(quantization.scales, np.float32)
        each = scales[picked] if scales.size > 1 else scales.reshape(())
        rows = rows.astype(np.float32) * np.asarray(each).reshape(
            *np.shape(each), *[1] * (rows.ndim - np.ndim(each))
        )
    return [rows]


def infer_segment_sum(_node: Node, shapes: Shapes, value: Value) -> Shapes:
    ids = value(1)
    if ids is None or shapes[0] is None:
        return [None]
    return [(int(ids.max(initial=-1)) + 1, *shapes[0][1:])]


def segment_sum(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Sums of the rows of each segment; ids ascend."""
    x, ids = operand(arrays, 0), operand(arrays, 1)
    if ids.size and ((np.diff(ids) < 0).any() or ids.min() < 0):
        raise ShapeError(f"{node.where}: segment ids must ascend from 0")
    result = np.zeros((int(ids.max(initial=-1)) + 1, *x.shape[1:]), x.dtype)
    np.add.at(result, ids, x)
    return [result]


def infer_unsorted(_node: Node, shapes: Shapes, value: Value) -> Shapes:
    count = ints(value(2))
    if count is None or shapes[0] is None or shapes[1] is None:
        return [None]
    return [(count[0], *shapes[0][len(shapes[1]) :])]


def _unsorted(start: str, combine: np.ufunc) -> object:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        x, ids, count = operand(arrays, 0), operand(arrays, 1), int(operand(arrays, 2).reshape(-1)[0])
        info = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
        first = {"zero": 0, "one": 1, "lowest": info.min, "highest": info.max}[start]
        result = np.full((count, *x.shape[ids.ndim :]), first, x.dtype)
        flat, rows = ids.reshape(-1), x.reshape(ids.size, *x.shape[ids.ndim :])
        kept = flat >= 0
        combine.at(result, _checked(node, flat[kept], count), rows[kept])
        return [result]

    return reference


_UNSORTED = {
    "sum": ("zero", np.add),
    "prod": ("one", np.multiply),
    "max": ("lowest", np.maximum),
    "min": ("highest", np.minimum),
}

OPS: tuple[OpSpec, ...] = (
    OpSpec("gather", infer_gather, gather, {"axis": 0, "batch_dims": 0}, (2, 2)),
    OpSpec("gather_nd", infer_gather_nd, gather_nd, {}, (2, 2)),
    OpSpec("scatter_nd", infer_scatter_nd, scatter_nd, {}, (3, 3)),
    OpSpec("sparse_to_dense", infer_sparse_to_dense, sparse_to_dense, {"validate_indices": False}, (4, 4)),
    OpSpec("one_hot", infer_one_hot, one_hot, {"axis": 0}, (4, 4)),
    OpSpec("topk_v2", infer_topk, topk_v2, {}, (2, 2), (2, 2)),
    OpSpec("unique", infer_unique, unique, {"idx_out_type": "INT32"}, (1, 1), (2, 2)),
    OpSpec("embedding_lookup", infer_embedding, embedding_lookup, {}, (2, 2)),
    OpSpec("segment_sum", infer_segment_sum, segment_sum, {}, (2, 2)),
    *(
        OpSpec(f"unsorted_segment_{name}", infer_unsorted, _unsorted(*how), {}, (3, 3))  # type: ignore[arg-type]
        for name, how in _UNSORTED.items()
    ),
)
