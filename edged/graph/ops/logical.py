"""LOGICAL_AND, LOGICAL_OR, LOGICAL_NOT on bool; SELECT and SELECT_V2 by a bool; WHERE: coordinates of what is
true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node, Shape
from edged.graph.ops.broadcast import broadcast_shapes, infer_broadcast, infer_same, operand, operands
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, Value

Shapes = Sequence[Shape | None]


def _bools(node: Node, *arrays: Array) -> None:
    for array in arrays:
        if array.dtype != np.bool_:
            raise UnsupportedError(f"{node.where}: {node.op} takes bool, not {array.dtype}")


def _logical(function: Callable[[Array, Array], Array]) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        a, b = operands(node, arrays)
        _bools(node, a, b)
        return [function(a, b)]

    return reference


def logical_not(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    _bools(node, x)
    return [~x]


def select_v2(node: Node, arrays: Arrays) -> Sequence[Array]:
    """All three broadcast."""
    condition, x, y = (operand(arrays, i) for i in range(3))
    _bools(node, condition)
    broadcast_shapes(node, [condition.shape, x.shape, y.shape])
    return [np.where(condition, x, y)]


def _select_condition_shape(node: Node, condition: Shape, x: Shape, y: Shape) -> Shape:
    """SELECT's condition has x's shape, or is a scalar, or one value for each of x's first dimension."""
    if x == y:
        if condition in (x, ()):
            return condition
        if len(condition) == 1 and x and condition[0] == x[0]:
            return (x[0],) + (1,) * (len(x) - 1)
    raise ShapeError(f"{node.where}: SELECT by {condition} of {x} and {y} does not fit")


def select(node: Node, arrays: Arrays) -> Sequence[Array]:
    condition, x, y = (operand(arrays, i) for i in range(3))
    _bools(node, condition)
    shape = _select_condition_shape(node, condition.shape, x.shape, y.shape)
    return [np.where(condition.reshape(shape), x, y)]


def infer_select(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    condition, x, y = shapes
    if condition is not None and x is not None and y is not None:
        _select_condition_shape(node, condition, x, y)
    return [x]


def where(node: Node, arrays: Arrays) -> Sequence[Array]:
    """int64 coordinates (count, rank) of the elements that are not zero, in row-major order."""
    x = operand(arrays, 0)
    if x.ndim == 0:
        raise ShapeError(f"{node.where}: WHERE takes at least one dimension")
    return [np.argwhere(x != 0).astype(np.int64)]


OPS: tuple[OpSpec, ...] = (
    OpSpec("logical_and", infer_broadcast, _logical(np.logical_and), inputs=(2, 2)),
    OpSpec("logical_or", infer_broadcast, _logical(np.logical_or), inputs=(2, 2)),
    OpSpec("logical_not", infer_same, logical_not),
    OpSpec("select", infer_select, select, inputs=(3, 3)),
    OpSpec("select_v2", infer_broadcast, select_v2, inputs=(3, 3)),
    OpSpec("where", lambda _node, _shapes, _value: [None], where),
)
