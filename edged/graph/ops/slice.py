"""SLICE, STRIDED_SLICE, REVERSE_V2, DYNAMIC_UPDATE_SLICE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.move import axis_of, ints, operand
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr

Shapes = Sequence[Shape | None]
Index = slice | int | None


def _bounds(node: Node, shape: Shape, begin: Sequence[int], size: Sequence[int]) -> list[tuple[int, int]]:
    if not len(begin) == len(size) == len(shape):
        raise ShapeError(f"{node.where}: begin and size must have {len(shape)} elements each")
    bounds = []
    for axis, (dim, start, count) in enumerate(zip(shape, begin, size, strict=True)):
        end = dim if count == -1 else start + count
        if not 0 <= start <= end <= dim:
            raise ShapeError(
                f"{node.where}: begin {start} and size {count} do not fit dimension {axis} of {dim}"
            )
        bounds.append((start, end))
    return bounds


def infer_slice(node: Node, shapes: Shapes, value: Value) -> Shapes:
    begin, size = ints(value(1)), ints(value(2))
    if begin is None or size is None or shapes[0] is None:
        return [None]
    return [tuple(end - start for start, end in _bounds(node, shapes[0], begin, size))]


def slice_(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, begin, size = operand(arrays, 0), ints(operand(arrays, 1)), ints(operand(arrays, 2))
    assert begin is not None
    assert size is not None
    return [x[tuple(slice(a, b) for a, b in _bounds(node, x.shape, begin, size))]]


def strided_index(
    node: Node, shape: Shape, begin: Sequence[int], end: Sequence[int], strides: Sequence[int]
) -> tuple[Index, ...]:
    """NumPy's index for a STRIDED_SLICE: masks, one ellipsis, new axes, and shrinking, as in schema.fbs (bits
    by position).

    As TFLite reads it (strided_slice.cc), an ellipsis takes at least one dimension: beside slices for every
    dimension the last one is dropped.
    """
    masks = {
        name: int(attr(node, f"{name}_mask", 0))
        for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    if not len(begin) == len(end) == len(strides):
        raise ShapeError(f"{node.where}: begin, end and strides differ in length")
    count = len(begin)
    new = sum(masks["new_axis"] >> i & 1 for i in range(count) if not masks["ellipsis"] >> i & 1)
    dots = next((i for i in range(count) if masks["ellipsis"] >> i & 1), None)
    used = count - new - (dots is not None)
    if used > len(shape):
        raise ShapeError(f"{node.where}: {used} slices for {len(shape)} dimensions")
    index: list[Index] = []
    axis = 0
    for i in range(count):
        if len(index) == len(shape) + new:
            break
        if i == dots:
            skip = max(len(shape) - used, 1)
            index += [slice(None)] * skip
            axis += skip
        elif masks["new_axis"] >> i & 1:
            index.append(None)
        elif axis == len(shape):
            raise ShapeError(f"{node.where}: no dimension is left for slice {i}, after the ellipsis")
        else:
            index.append(_one(node, shape[axis], begin[i], end[i], strides[i], i, masks))
            axis += 1
    return tuple(index)


def _one(node: Node, dim: int, begin: int, end: int, stride: int, i: int, masks: dict[str, int]) -> Index:
    if stride == 0:
        raise ShapeError(f"{node.where}: stride 0")
    if masks["shrink_axis"] >> i & 1:
        position = begin + dim if begin < 0 else begin
        if masks["begin"] >> i & 1:
            position = 0 if stride > 0 else dim - 1
        if not 0 <= position < dim:
            raise ShapeError(f"{node.where}: index {begin} is out of range for a dimension of {dim}")
        return position
    if attr(node, "offset", False):
        begin += dim if begin < 0 else 0
        end += begin
    start = None if masks["begin"] >> i & 1 else begin
    stop = None if masks["end"] >> i & 1 else end
    return slice(start, _before_start(stop, dim, stride), stride)


def _before_start(stop: int | None, dim: int, stride: int) -> int | None:
    """A negative stride may end before element 0, which Python spells None."""
    if stop is not None and stride < 0 and stop < -dim:
        return None
    return stop


def infer_strided(node: Node, shapes: Shapes, value: Value) -> Shapes:
    begin, end, strides = (ints(value(i)) for i in (1, 2, 3))
    if begin is None or end is None or strides is None or shapes[0] is None:
        return [None]
    probe = np.broadcast_to(np.zeros((), np.int8), shapes[0])
    return [probe[strided_index(node, shapes[0], begin, end, strides)].shape]


def strided_slice(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    begin, end, strides = (ints(operand(arrays, i)) or () for i in (1, 2, 3))
    return [np.asarray(x[strided_index(node, x.shape, begin, end, strides)])]


def reverse_v2(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, axes = operand(arrays, 0), ints(operand(arrays, 1)) or ()
    return [np.flip(x, tuple(axis_of(node, a, x.ndim) for a in axes)) if axes else x]


def infer_same(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    """The output has the shape of the first input."""
    return [shapes[0]]


def dynamic_update_slice(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The operand with `update` at the start indices, which are clamped so that it fits."""
    x, update, starts = operand(arrays, 0), operand(arrays, 1), ints(operand(arrays, 2)) or ()
    if (
        update.ndim != x.ndim
        or len(starts) != x.ndim
        or any(u > d for u, d in zip(update.shape, x.shape, strict=True))
    ):
        raise ShapeError(f"{node.where}: an update of {update.shape} does not fit {x.shape}")
    result = x.copy()
    at = [min(max(s, 0), d - u) for s, d, u in zip(starts, x.shape, update.shape, strict=True)]
    result[tuple(slice(a, a + u) for a, u in zip(at, update.shape, strict=True))] = update
    return [result]


_MASKS = {f"{name}_mask": 0 for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}

OPS: tuple[OpSpec, ...] = (
    OpSpec("slice", infer_slice, slice_, {}, (3, 3)),
    OpSpec("strided_slice", infer_strided, strided_slice, {**_MASKS, "offset": False}, (4, 4)),
    OpSpec("reverse_v2", infer_same, reverse_v2, {}, (2, 2)),
    OpSpec("dynamic_update_slice", infer_same, dynamic_update_slice, {}, (3, 3)),
)
