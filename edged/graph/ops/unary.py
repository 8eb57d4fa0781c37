"""Unary operators that are no activation: a table of float functions, and quantised forms of some.

Quantised: ABS (int8, int16), RSQRT (int8, int16), LOG and EXP (int8, int16), SQRT (int8, int16). NEG, SIGN,
FLOOR, CEIL, ROUND work on the stored values. COMPLEX_ABS, REAL and IMAG take complex64 and complex128.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edged.errors import InputError, UnsupportedError
from edged.graph.model import Node
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.broadcast import infer_same, operand, rescaled, scale_of, store, zero_point_of
from edged.graph.ops.fixedpoint_functions import inverse_sqrt_multiplier
from edged.graph.ops.lut import Function, apply_8, apply_16
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, quantised

Quantised = Callable[[Node, Array], Array]


def real_function(function: Function) -> Callable[[Array], Array]:
    """A float64 function applied to any float dtype, rounded once to that dtype."""

    def apply(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.float64))).astype(x.dtype)

    return apply


def _unary(
    name: str, plain: Callable[[Array], Array], kinds: str, integer: Quantised | None = None
) -> Reference:
    """The reference of a unary operator: `integer` for quantised tensors, `plain` for stored values."""

    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        x = operand(arrays, 0)
        if integer is not None and quantised(node.input(0)):
            return [integer(node, x)]
        if x.dtype.kind not in kinds:
            raise UnsupportedError(f"{node.where}: {name} has no meaning for {x.dtype} without quantisation")
        return [plain(x)]

    return reference


def table_lookup(function: Callable[[Node], Function]) -> Quantised:
    """A quantised operator by table: 256 entries for 8 bits, 513 for 16. The function may depend on the
    node.
    """

    def apply(node: Node, x: Array) -> Array:
        if x.dtype.itemsize == 1:
            return apply_8(node, x, function(node))
        if x.dtype == np.int16:
            return apply_16(node, x, function(node))
        raise UnsupportedError(
            f"{node.where}: quantised {node.op} takes 8- and 16-bit integers, not {x.dtype}"
        )

    return apply


def _log(node: Node) -> Function:
    """Where there is no logarithm: the least value of the output."""
    result = node.outputs[0]
    low, _ = fp.integer_range(str(result.dtype))
    least = float(np.float32(low - zero_point_of(result)) * scale_of(result))
    return lambda x: np.where(x <= 0, least, np.log(np.where(x <= 0, 1.0, x)))


def abs_quantised(node: Node, x: Array) -> Array:
    """|x|, rescaled only when the scales differ (LiteRT divides them in float32, TFLite Micro in double)."""
    source, result = node.input(0), node.outputs[0]
    values = np.abs(x.astype(np.int64) - zero_point_of(source))
    if scale_of(source) != scale_of(result):
        values = rescaled(values, float(scale_of(source)) / float(scale_of(result)))
    return store(node, values, x.dtype)


def rsqrt_quantised(node: Node, x: Array) -> Array:
    """1 / sqrt(x) in fixed point; 0 gives the greatest value, an input below zero is an InputError.

    TFLite Micro computes int16 the same way; LiteRT interpolates in a table there, which is far off where 1 /
    sqrt is steep.
    """
    source, result = node.input(0), node.outputs[0]
    values = x.astype(np.int64) - zero_point_of(source)
    if (values < 0).any():
        raise InputError(f"{node.where}: RSQRT of a negative value")
    real = 1.0 / (math.sqrt(float(scale_of(source))) * float(scale_of(result)))
    multiplier, shift = fp.quantize_multiplier(real)
    distinct, where = np.unique(values, return_inverse=True)
    outputs = np.empty(distinct.shape, np.int64)
    for i, value in enumerate(distinct):
        inverse, right = inverse_sqrt_multiplier(int(value))
        data = fp.multiply_by_quantized_multiplier(np.asarray(1), inverse, 20 - right)
        outputs[i] = fp.multiply_by_quantized_multiplier(data, multiplier, shift - 20)
    greatest = fp.integer_range(str(x.dtype))[1]
    stored = np.where(distinct == 0, greatest, store(node, outputs, x.dtype))
    return stored[where].reshape(x.shape).astype(x.dtype)


def sqrt_quantised(node: Node, x: Array) -> Array:
    """sqrt in float32, truncated; an input below zero is an InputError. (LiteRT only.)"""
    source, result = node.input(0), node.outputs[0]
    real = scale_of(source) * (x.astype(np.int64) - zero_point_of(source)).astype(np.float32)
    if (real < 0).any():
        raise InputError(f"{node.where}: SQRT of a negative value")
    return store(node, np.trunc(np.sqrt(real) / scale_of(result)).astype(np.int64), x.dtype)


def _neg(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(np.negative(x))


_LOG = real_function(np.log)

_TABLE: tuple[tuple[str, Callable[[Array], Array], str, Quantised | None], ...] = (
    ("abs", np.abs, "fiu", abs_quantised),
    ("ceil", np.ceil, "f", None),
    ("cos", real_function(np.cos), "f", None),
    ("exp", real_function(np.exp), "f", table_lookup(lambda _node: np.exp)),
    ("floor", np.floor, "f", None),
    ("log", _LOG, "f", table_lookup(_log)),
    ("neg", _neg, "fi", None),
    ("round", np.rint, "f", None),
    ("rsqrt", real_function(lambda x: 1 / np.sqrt(x)), "f", rsqrt_quantised),
    ("sign", np.sign, "fi", None),
    ("sin", real_function(np.sin), "f", None),
    ("sqrt", real_function(np.sqrt), "f", sqrt_quantised),
    ("square", np.square, "f", None),
    ("complex_abs", np.abs, "c", None),
    ("real", np.real, "cf", None),
    ("imag", np.imag, "cf", None),
    ("zeros_like", np.zeros_like, "fiubc", None),
)

OPS: tuple[OpSpec, ...] = tuple(
    OpSpec(name, infer_same, _unary(name, plain, kinds, integer)) for name, plain, kinds, integer in _TABLE
)
