"""Binary operators on stored values, whatever their quantisation: a table of functions with their dtypes.

FLOOR_DIV, FLOOR_MOD, POW, MAXIMUM, MINIMUM, ATAN2, BITWISE_XOR, RIGHT_SHIFT. (MAXIMUM and MINIMUM of
quantised tensors take it for granted that all three quantisations are equal, as TFLite does.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.errors import InputError, UnsupportedError
from edged.graph.model import Node
from edged.graph.ops.broadcast import infer_broadcast, operands
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference

Binary = Callable[[Node, Array, Array], Array]


def _nonzero(node: Node, b: Array) -> None:
    if b.dtype.kind in "iu" and (b == 0).any():
        raise InputError(f"{node.where}: {node.op.upper()} by zero")


def floor_div(node: Node, a: Array, b: Array) -> Array:
    """The quotient in double precision, rounded down, as TFLite has it for integers too."""
    _nonzero(node, b)
    with np.errstate(all="ignore"):
        return np.floor(a.astype(np.float64) / b.astype(np.float64)).astype(a.dtype)


def floor_mod(node: Node, a: Array, b: Array) -> Array:
    """The remainder with the divisor's sign."""
    _nonzero(node, b)
    with np.errstate(all="ignore"):
        rest = np.fmod(a, b)
        return np.where((rest != 0) & ((b < 0) != (rest < 0)), rest + b, rest).astype(a.dtype)


def power(node: Node, a: Array, b: Array) -> Array:
    """Floats in double precision, rounded once; int32 exact, wrapping; a negative exponent there is an
    InputError.
    """
    if a.dtype.kind in "iu":
        if (b < 0).any():
            raise InputError(f"{node.where}: POW of integers with a negative exponent")
        with np.errstate(over="ignore"):
            return np.asarray(np.power(a.astype(np.int64), b.astype(np.int64))).astype(a.dtype)
    with np.errstate(all="ignore"):
        return np.power(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)


def right_shift(_node: Node, a: Array, b: Array) -> Array:
    """Arithmetic for signed integers; the amount is clamped to 0 ... bits - 1."""
    return np.asarray(np.right_shift(a, np.clip(b, 0, a.dtype.itemsize * 8 - 1).astype(a.dtype)))


def atan2(_node: Node, a: Array, b: Array) -> Array:
    return np.arctan2(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)


_TABLE: tuple[tuple[str, Binary, str], ...] = (
    ("floor_div", floor_div, "fi"),
    ("floor_mod", floor_mod, "fi"),
    ("pow", power, "fi"),
    ("maximum", lambda _n, a, b: np.where(a > b, a, b), "fiu"),
    ("minimum", lambda _n, a, b: np.where(a < b, a, b), "fiu"),
    ("atan2", atan2, "f"),
    ("bitwise_xor", lambda _n, a, b: np.bitwise_xor(a, b), "iu"),
    ("right_shift", right_shift, "iu"),
)


def _reference(function: Binary, kinds: str) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        a, b = operands(node, arrays)
        if a.dtype.kind not in kinds or a.dtype != b.dtype:
            raise UnsupportedError(f"{node.where}: {node.op} has no meaning for {a.dtype} and {b.dtype}")
        return [function(node, a, b)]

    return reference


OPS: tuple[OpSpec, ...] = tuple(
    OpSpec(name, infer_broadcast, _reference(function, kinds), inputs=(2, 2))
    for name, function, kinds in _TABLE
)
