"""EQUAL, NOT_EQUAL, LESS, LESS_EQUAL, GREATER, GREATER_EQUAL: two tensors -> bool.

Quantised int8 and uint8 are compared after both are brought, with 8 guard bits, to a common real scale;
int16 only for EQUAL and NOT_EQUAL, since LiteRT compares stored int16 values for order. (TFLite Micro takes
int16 for GREATER alone, and scales by numbers that it never set.) LiteRT takes every scale for a number below
1: where one is not, its answers have nothing to do with the real values, and ours differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.graph.model import Node
from edged.graph.ops.arithmetic import centred
from edged.graph.ops.broadcast import infer_broadcast, operands, rescaled, scale_of
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, quantised

_LEFT_SHIFT = 8
_SCALED_INT16 = frozenset({"equal", "not_equal"})


def _scaled(node: Node, index: int, x: Array) -> Array:
    return rescaled(centred(node, index, x) << _LEFT_SHIFT, float(scale_of(node.input(index))))


def _comparison(function: Callable[[Array, Array], Array]) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        a, b = operands(node, arrays)
        scaled = a.dtype.itemsize == 1 or (a.dtype == np.int16 and node.op in _SCALED_INT16)
        if scaled and quantised(node.input(0)) and quantised(node.input(1)):
            a, b = _scaled(node, 0, a), _scaled(node, 1, b)
        return [function(a, b)]

    return reference


_TABLE: tuple[tuple[str, Callable[[Array, Array], Array]], ...] = (
    ("equal", np.equal),
    ("not_equal", np.not_equal),
    ("less", np.less),
    ("less_equal", np.less_equal),
    ("greater", np.greater),
    ("greater_equal", np.greater_equal),
)

OPS: tuple[OpSpec, ...] = tuple(
    OpSpec(name, infer_broadcast, _comparison(function), inputs=(2, 2)) for name, function in _TABLE
)
