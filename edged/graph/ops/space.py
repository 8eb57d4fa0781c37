"""Between space, depth and batch; sequences reversed; shapes, ranks, ranges and fills; diagonals."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.move import axis_of, ints, operand
from edged.graph.ops.slice import infer_same
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr, quantised

Shapes = Sequence[Shape | None]


def _block(node: Node) -> int:
    size = int(attr(node, "block_size", 0))
    if size < 1:
        raise ShapeError(f"{node.where}: block size {size} must be at least 1")
    return size


def infer_space_to_depth(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape, b = shapes[0], _block(node)
    if shape is None:
        return [None]
    if len(shape) != 4 or shape[1] % b or shape[2] % b:
        raise ShapeError(f"{node.where}: {shape} does not divide into blocks of {b}")
    return [(shape[0], shape[1] // b, shape[2] // b, shape[3] * b * b)]


def space_to_depth(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, b = operand(arrays, 0), _block(node)
    (shape,) = infer_space_to_depth(node, [x.shape], lambda _i: None)
    assert shape is not None
    n, h, w, _ = shape
    return [x.reshape(n, h, b, w, b, x.shape[3]).transpose(0, 1, 3, 2, 4, 5).reshape(shape)]


def infer_depth_to_space(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape, b = shapes[0], _block(node)
    if shape is None:
        return [None]
    if len(shape) != 4 or shape[3] % (b * b):
        raise ShapeError(f"{node.where}: {shape[-1]} channels do not divide into blocks of {b} x {b}")
    return [(shape[0], shape[1] * b, shape[2] * b, shape[3] // (b * b))]


def depth_to_space(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, b = operand(arrays, 0), _block(node)
    (shape,) = infer_depth_to_space(node, [x.shape], lambda _i: None)
    assert shape is not None
    n, h, w, _ = x.shape
    return [x.reshape(n, h, w, b, b, shape[3]).transpose(0, 1, 3, 2, 4, 5).reshape(shape)]


def _blocks(
    node: Node, shape: Shape, sizes: Array | None, pairs: Array | None
) -> tuple[list[int], list[tuple[int, int]]] | None:
    """Block sizes and paddings or crops of the dimensions behind the first."""
    if sizes is None or pairs is None:
        return None
    blocks = [int(v) for v in sizes.reshape(-1)]
    edges = [(int(a), int(b)) for a, b in pairs.reshape(-1, 2)]
    if len(blocks) != len(edges) or len(blocks) >= len(shape) or min(blocks, default=1) < 1:
        raise ShapeError(f"{node.where}: blocks {blocks} and {edges} do not fit {shape}")
    return blocks, edges


def infer_space_to_batch(node: Node, shapes: Shapes, value: Value) -> Shapes:
    shape = shapes[0]
    found = None if shape is None else _blocks(node, shape, value(1), value(2))
    if shape is None or found is None:
        return [None]
    blocks, pads = found
    grown = [d + a + b for d, (a, b) in zip(shape[1:], pads, strict=False)]
    if any(g % b for g, b in zip(grown, blocks, strict=True)):
        raise ShapeError(f"{node.where}: {grown} does not divide into blocks {blocks}")
    return [
        (
            shape[0] * prod(blocks),
            *(g // b for g, b in zip(grown, blocks, strict=True)),
            *shape[1 + len(blocks) :],
        )
    ]


def space_to_batch_nd(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    found = _blocks(node, x.shape, arrays[1], arrays[2])
    (shape,) = infer_space_to_batch(node, [x.shape], lambda i: arrays[i])
    assert found is not None
    assert shape is not None
    blocks, pads = found
    count, rest = len(blocks), x.shape[1 + len(blocks) :]
    quantization = node.outputs[0].quantization
    zero = quantization.zero_point if quantised(node.outputs[0]) and quantization is not None else 0
    padded = np.pad(x, [(0, 0), *pads, *[(0, 0)] * len(rest)], constant_values=zero)
    split = [
        d
        for pair in zip((s // b for s, b in zip(padded.shape[1:], blocks, strict=False)), blocks, strict=True)
        for d in pair
    ]
    view = padded.reshape(x.shape[0], *split, *rest)
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, view.ndim)]
    return [view.transpose(order).reshape(shape)]


def infer_batch_to_space(node: Node, shapes: Shapes, value: Value) -> Shapes:
    shape = shapes[0]
    found = None if shape is None else _blocks(node, shape, value(1), value(2))
    if shape is None or found is None:
        return [None]
    blocks, crops = found
    if shape[0] % prod(blocks):
        raise ShapeError(f"{node.where}: a batch of {shape[0]} does not divide into blocks {blocks}")
    grown = [d * b - c - e for d, b, (c, e) in zip(shape[1:], blocks, crops, strict=False)]
    if min(grown, default=0) < 0:
        raise ShapeError(f"{node.where}: crops {crops} take more than there is")
    return [(shape[0] // prod(blocks), *grown, *shape[1 + len(blocks) :])]


def batch_to_space_nd(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    found = _blocks(node, x.shape, arrays[1], arrays[2])
    infer_batch_to_space(node, [x.shape], lambda i: arrays[i])
    assert found is not None
    blocks, crops = found
    count, batch = len(blocks), x.shape[0] // prod(blocks)
    view = x.reshape(*blocks, batch, *x.shape[1:])
    order = [count, *(d for i in range(count) for d in (count + 1 + i, i)), *range(2 * count + 1, view.ndim)]
    whole = [d * b for d, b in zip(x.shape[1:], blocks, strict=False)]
    joined = view.transpose(order).reshape(batch, *whole, *x.shape[1 + count :])
    return [joined[(slice(None), *(slice(a, w - b) for (a, b), w in zip(crops, whole, strict=True)))]]


def reverse_sequence(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The first `lengths[b]` elements of every sequence backwards."""
    x, lengths = operand(arrays, 0), operand(arrays, 1)
    seq = axis_of(node, attr(node, "seq_dim", 0), x.ndim)
    batch = axis_of(node, attr(node, "batch_dim", 0), x.ndim)
    if seq == batch or lengths.shape != (x.shape[batch],):
        raise ShapeError(f"{node.where}: {lengths.shape} lengths for axes {seq} and {batch} of {x.shape}")
    result = x.copy()
    for index, length in enumerate(lengths):
        if not 0 <= length <= x.shape[seq]:
            raise ShapeError(f"{node.where}: length {length} of a sequence of {x.shape[seq]}")
        place: list[int | slice] = [slice(None)] * x.ndim
        place[batch] = index
        row, axis = x[tuple(place)], seq - (batch < seq)
        result[tuple(place)] = np.concatenate(
            [
                np.flip(np.take(row, range(length), axis), axis),
                np.take(row, range(length, x.shape[seq]), axis),
            ],
            axis,
        )
    return [result]


def _out_type(node: Node) -> type[np.generic]:
    return np.int64 if attr(node, "out_type", "INT32") == "INT64" else np.int32


def infer_shape(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [None if shapes[0] is None else (len(shapes[0]),)]


def shape(node: Node, arrays: Arrays) -> Sequence[Array]:
    return [np.array(operand(arrays, 0).shape, _out_type(node))]


def infer_scalar(_node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    return [()]


def rank(_node: Node, arrays: Arrays) -> Sequence[Array]:
    return [np.array(operand(arrays, 0).ndim, np.int32)]


def _steps(node: Node, start: Array, limit: Array, delta: Array) -> int:
    first, last, step = (a.reshape(-1)[0] for a in (start, limit, delta))
    if step == 0 or (last - first) * step < 0:
        raise ShapeError(f"{node.where}: no range from {first} to {last} by {step}")
    return int(np.ceil(abs((last - first) / step)))


def infer_range(node: Node, _shapes: Shapes, value: Value) -> Shapes:
    start, limit, delta = value(0), value(1), value(2)
    if start is None or limit is None or delta is None:
        return [None]
    return [(_steps(node, start, limit, delta),)]


def range_(node: Node, arrays: Arrays) -> Sequence[Array]:
    start, limit, delta = (operand(arrays, i) for i in range(3))
    count = _steps(node, start, limit, delta)
    first, step = start.reshape(-1)[0], delta.reshape(-1)[0]
    return [(first + np.arange(count, dtype=start.dtype) * step).astype(start.dtype)]


def infer_fill(_node: Node, _shapes: Shapes, value: Value) -> Shapes:
    return [ints(value(0))]


def fill(node: Node, arrays: Arrays) -> Sequence[Array]:
    dims, value = ints(operand(arrays, 0)) or (), operand(arrays, 1)
    if min(dims, default=0) < 0:
        raise ShapeError(f"{node.where}: cannot fill a shape of {dims}")
    return [np.full(dims, value.reshape(-1)[0], value.dtype)]


def infer_matrix_diag(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [None if shapes[0] is None else (*shapes[0], shapes[0][-1])]


def matrix_diag(_node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    result = np.zeros((*x.shape, x.shape[-1]), x.dtype)
    each = np.arange(x.shape[-1])
    result[..., each, each] = x
    return [result]


def matrix_set_diag(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, diagonal = operand(arrays, 0).copy(), operand(arrays, 1)
    count = min(x.shape[-2:])
    if diagonal.shape != (*x.shape[:-2], count):
        raise ShapeError(f"{node.where}: a diagonal of {diagonal.shape} for {x.shape}")
    each = np.arange(count)
    x[..., each, each] = diagonal
    return [x]


OPS: tuple[OpSpec, ...] = (
    OpSpec("space_to_depth", infer_space_to_depth, space_to_depth, {"block_size": 0}),
    OpSpec("depth_to_space", infer_depth_to_space, depth_to_space, {"block_size": 0}),
    OpSpec("space_to_batch_nd", infer_space_to_batch, space_to_batch_nd, {}, (3, 3)),
    OpSpec("batch_to_space_nd", infer_batch_to_space, batch_to_space_nd, {}, (3, 3)),
    OpSpec("reverse_sequence", infer_same, reverse_sequence, {"seq_dim": 0, "batch_dim": 0}, (2, 2)),
    OpSpec("shape", infer_shape, shape, {"out_type": "FLOAT32"}),
    OpSpec("rank", infer_scalar, rank),
    OpSpec("range", infer_range, range_, {}, (3, 3)),
    OpSpec("fill", infer_fill, fill, {}, (2, 2)),
    OpSpec("matrix_diag", infer_matrix_diag, matrix_diag),
    OpSpec("matrix_set_diag", infer_same, matrix_set_diag, {}, (2, 2)),
)
