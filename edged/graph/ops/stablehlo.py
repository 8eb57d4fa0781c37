"""The StableHLO operators that LiteRT runs elementwise, and COMPOSITE's arity: what it does is its
decomposition's business.

ADD, MULTIPLY, MAXIMUM, MINIMUM, AND, SHIFT_LEFT of equal shapes, on stored values, wrapping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node, Shape
from edged.graph.ops.broadcast import operand
from edged.graph.ops.control import as_stored, outside
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, Value

Shapes = Sequence[Shape | None]


def infer_equal(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    """One shape for both inputs and the output."""
    if None not in shapes and shapes[0] != shapes[1]:
        raise ShapeError(f"{node.where}: StableHLO does not broadcast {shapes[0]} and {shapes[1]}")
    return [shapes[0]]


def _shift_left(a: Array, b: Array) -> Array:
    """0 for amounts below 0 or beyond the width."""
    width = a.dtype.itemsize * 8
    shifted = np.left_shift(a, np.clip(b, 0, width - 1).astype(a.dtype))
    return np.where((b >= 0) & (b < width), shifted, np.zeros_like(a))


def _elementwise(function: Callable[[Array, Array], Array], kinds: str) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        a, b = operand(arrays, 0), operand(arrays, 1)
        infer_equal(node, [a.shape, b.shape], lambda _index: None)
        if a.dtype.kind not in kinds:
            raise UnsupportedError(f"{node.where}: {node.op} has no meaning for {a.dtype}")
        with np.errstate(over="ignore"):
            return [function(a, b)]

    return reference


_TABLE: tuple[tuple[str, Callable[[Array, Array], Array], str], ...] = (
    ("stablehlo_add", np.add, "fiu"),
    ("stablehlo_multiply", np.multiply, "fiu"),
    ("stablehlo_maximum", np.maximum, "fiu"),
    ("stablehlo_minimum", np.minimum, "fiu"),
    ("stablehlo_and", np.bitwise_and, "iub"),
    ("stablehlo_shift_left", _shift_left, "iu"),
)

OPS: tuple[OpSpec, ...] = (
    *(OpSpec(name, infer_equal, _elementwise(f, kinds), inputs=(2, 2)) for name, f, kinds in _TABLE),
    OpSpec(
        "stablehlo_composite",
        as_stored,
        outside,
        {"name": "", "decomposition_subgraph_index": 0},
        (0, None),
        (0, None),
    ),
)
