"""ARG_MAX and ARG_MIN (the index of the first extreme along an axis), CUMSUM, and BUCKETIZE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.broadcast import infer_same, operand, rescaled, scale_of, store, zero_point_of
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, Value, attr, quantised

Shapes = Sequence[Shape | None]


def _axis(node: Node, axis: Array, rank: int) -> int:
    given = int(axis.reshape(-1)[0]) if axis.size else rank
    found = given + rank if given < 0 else given
    if not 0 <= found < rank:
        raise ShapeError(f"{node.where}: axis {given} is out of range for {rank} dimensions")
    return found


def infer_arg(node: Node, shapes: Shapes, value: Value) -> Shapes:
    axis = value(1)
    if shapes[0] is None or axis is None:
        return [None]
    at = _axis(node, axis, len(shapes[0]))
    return [shapes[0][:at] + shapes[0][at + 1 :]]


def _arg(greatest: bool) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        x = operand(arrays, 0)
        at = _axis(node, operand(arrays, 1), x.ndim)
        if x.shape[at] == 0:
            raise ShapeError(f"{node.where}: {node.op} of no elements")
        if x.dtype.kind == "f":
            x = np.where(np.isnan(x), -np.inf if greatest else np.inf, x)
        found = x.argmax(axis=at) if greatest else x.argmin(axis=at)
        return [np.asarray(found).astype(str(node.outputs[0].dtype))]

    return reference


def _accumulate(x: Array, axis: int, exclusive: bool, reverse: bool) -> Array:
    ordered = np.flip(x, axis) if reverse else x
    total: Array = np.cumsum(ordered, axis=axis, dtype=x.dtype)
    if exclusive:
        zero = np.zeros_like(np.take(total, [0], axis)) if total.shape[axis] else total
        total = np.concatenate([zero, np.delete(total, -1, axis)], axis) if total.shape[axis] else total
    return np.flip(total, axis) if reverse else total


def cumsum(node: Node, arrays: Arrays) -> Sequence[Array]:
    """int32, int64 (wrapping), float32 (summed in double precision); int8 (TFLite Micro only) with 20 guard
    bits, starting, as there, from the scaled negative zero point."""
    x = operand(arrays, 0)
    axis = _axis(node, operand(arrays, 1), x.ndim)
    exclusive, reverse = bool(attr(node, "exclusive", False)), bool(attr(node, "reverse", False))
    if x.dtype == np.int8 and quantised(node.input(0)):
        offset = -zero_point_of(node.input(0))
        values = rescaled((x.astype(np.int64) + offset) << 20, 0.5)
        start = rescaled(np.asarray(offset << 20), 0.5)
        total = fp.wrap_int32(_accumulate(values, axis, exclusive, reverse) + start)
        twice = 2.0 * float(scale_of(node.input(0)))
        return [store(node, rescaled(total, twice / ((1 << 20) * float(scale_of(node.outputs[0])))), x.dtype)]
    if x.dtype.kind == "f":
        return [_accumulate(x.astype(np.float64), axis, exclusive, reverse).astype(x.dtype)]
    return [_accumulate(x, axis, exclusive, reverse)]


def bucketize(node: Node, arrays: Arrays) -> Sequence[Array]:
    """int32: how many of the ascending `boundaries` are at most the value."""
    boundaries = np.asarray(attr(node, "boundaries", ()), np.float32)
    x = operand(arrays, 0)
    return [np.searchsorted(boundaries, x.reshape(-1), "right").reshape(x.shape).astype(np.int32)]


OPS: tuple[OpSpec, ...] = (
    OpSpec("arg_max", infer_arg, _arg(True), {"output_type": "INT32"}, inputs=(2, 2)),
    OpSpec("arg_min", infer_arg, _arg(False), {"output_type": "INT32"}, inputs=(2, 2)),
    OpSpec("cumsum", infer_same, cumsum, {"exclusive": False, "reverse": False}, inputs=(2, 2)),
    OpSpec("bucketize", infer_same, bucketize, {"boundaries": ()}),
)
