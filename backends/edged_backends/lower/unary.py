"""Functions of one tensor: by table for 8 and 16 bits, by kernels for f32 and plain integers."""

from __future__ import annotations

import math
from collections.abc import Callable

from edged.graph.model import DType, Node
from edged.graph.ops.spec import attr
from edged_backends.lower.table import lut
from edged_backends.lowering import Lowering

INFINITE = math.inf

_F32: dict[str, tuple[str, float, float]] = {
    "relu": ("clip", 0.0, INFINITE), "relu6": ("clip", 0.0, 6.0), "relu_n1_to_1": ("clip", -1.0, 1.0),
    "relu_0_to_1": ("clip", 0.0, 1.0), "hard_swish": ("hard_swish", 0.0, 0.0), "logistic": ("logistic", 0.0,
    0.0),
    "tanh": ("tanh", 0.0, 0.0), "exp": ("exp", 0.0, 0.0), "log": ("log", 0.0, 0.0), "elu": ("elu", 0.0, 0.0),
    "abs": ("abs", 0.0, 0.0), "neg": ("neg", 0.0, 0.0), "sqrt": ("sqrt", 0.0, 0.0), "rsqrt": ("rsqrt", 0.0,
    0.0),
    "square": ("square", 0.0, 0.0), "sin": ("sin", 0.0, 0.0), "cos": ("cos", 0.0, 0.0), "floor": ("floor",
    0.0, 0.0),
    "ceil": ("ceil", 0.0, 0.0), "round": ("round", 0.0, 0.0), "sign": ("sign", 0.0, 0.0),
}  # fmt: skip
"""Node kind -> (kernel op without its type, params a and b)."""

_INTEGER = {
    ("abs", DType.INT32): "abs_s32", ("neg", DType.INT32): "neg_s32", ("square", DType.INT32): "square_s32",
    ("sign", DType.INT32): "sign_s32", ("neg", DType.INT64): "neg_s64", ("logical_not",
    DType.BOOL): "not_bool",
}  # fmt: skip


def lower_unary(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if source.dtype is DType.FLOAT32 and output.dtype is DType.FLOAT32:
        op, a, b = _f32(node)
    elif (node.op, source.dtype) in _INTEGER:
        op, a, b = _INTEGER[node.op, source.dtype], 0.0, 0.0
    else:
        lut(lowering, node)
        return None
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(op, {"a": a, "b": b}, refs, units=output.elements, inplace=1)
    return None


def _f32(node: Node) -> tuple[str, float, float]:
    if node.op == "leaky_relu":
        return "leaky_relu_f32", float(attr(node, "alpha", 0.0)), 0.0
    if node.op == "gelu":
        return ("gelu_tanh_f32" if attr(node, "approximate", False) else "gelu_f32"), 0.0, 0.0
    op, a, b = _F32[node.op]
    return f"{op}_f32", a, b


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = dict.fromkeys(
    [*_F32, "leaky_relu", "gelu", "logical_not"], lower_unary
)
