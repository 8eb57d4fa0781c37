"""Makers of elementwise cases: unary, binary, comparisons, selections, conversions, activations."""

from __future__ import annotations

import numpy as np

from edged.graph.model import Shape
from fuzz.ops_draft import INTS, Draft, Maker
from support.build import quant

FUSED = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6")
EIGHTS = ("int8", "uint8")
QUANTISED = ("int8", "uint8", "int16")

UNARY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("relu", "relu6", "relu_n1_to_1", "relu_0_to_1", "logistic", "tanh", "leaky_relu"), ("float32", *QUANTISED)),
    **dict.fromkeys(("hard_swish", "gelu", "elu", "exp", "log", "rsqrt", "abs"), ("float32", *QUANTISED, "int32")),
    **dict.fromkeys(("sqrt", "square", "sin", "cos", "floor", "ceil", "round"), ("float32", "float32", "float16", "bfloat16", "int8")),
    **dict.fromkeys(("neg", "sign", "zeros_like"), ("float32", "float16", "float64", "int8", "int16", "int32", "int64")),
    **dict.fromkeys(("rank", "shape"), ("float32", *INTS, "bool")),
    "logical_not": ("bool",),
}
BINARY: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("add", "sub", "mul"), ("float32", *INTS)),
    "div": ("float32", "uint8", "int8", "int32"),
    **dict.fromkeys(("maximum", "minimum"), ("float32", *INTS)),
    "squared_difference": ("float32", "int8", "int32"),
    **dict.fromkeys(("floor_div", "floor_mod"), ("float32", "int8", "int16", "int32", "int64")),
    "pow": ("float32", "int32"),
    "atan2": ("float32", "float64"),
    **dict.fromkeys(("bitwise_xor", "right_shift"), ("int8", "uint8", "int16", "uint16", "int32", "uint32")),
    **dict.fromkeys(("logical_and", "logical_or"), ("bool",)),
}
COMPARE = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
CASTS = ("float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")


def pair(draft: Draft) -> tuple[Shape, Shape]:
    """Two shapes that broadcast."""
    full = draft.shape(0, 6 if draft.chance(0.2) else 4)
    sides = []
    for _ in range(2):
        side = tuple(1 if draft.chance(0.25) else d for d in full)
        sides.append(side[draft.whole(0, len(side)) :] if draft.chance(0.2) else side)
    return (full, full) if draft.chance(0.3) else (sides[0], sides[1])


def unary(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(UNARY[kind])
        shape = draft.shape()
        q = draft.quant(dtype)
        result = q if kind in ("abs", "neg", "sign", "zeros_like") and draft.chance(0.7) else draft.quant(dtype)
        attrs: dict[str, object] = {}
        if kind in ("logistic", "tanh") and q is not None and draft.chance(0.8):
            result = fixed_range(kind, dtype)
        if kind == "leaky_relu":
            attrs = {"alpha": float(np.float32(draft.rng.uniform(-1, 2)))}
        if kind == "gelu":
            attrs = {"approximate": draft.chance(0.5)}
        out = dtype
        if kind in ("rank", "shape"):
            out, result = "int32", None
        if kind == "shape" and draft.chance(0.5):
            out = "int64"
        if kind == "shape":
            attrs = {"out_type": out.upper()}
        values = draft.values(dtype, shape, special=0.2)
        draft.op(kind, [draft.put(dtype, shape, q, values)], [(out, result)], attrs)

    return make


def fixed_range(kind: str, dtype: str) -> object:
    if dtype == "int16":
        return quant(1 / 32768)
    if kind == "logistic":
        return quant(1 / 256, -128 if dtype == "int8" else 0)
    return quant(1 / 128, 0 if dtype == "int8" else 128)


def binary(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(BINARY[kind])
        first, second = pair(draft)
        if kind == "atan2":
            first = second  # LiteRT takes the first one's shape, whatever the other's
        integer_only = kind in ("floor_div", "floor_mod", "pow", "bitwise_xor", "right_shift")
        qs = [None if integer_only else draft.quant(dtype) for _ in range(3)]
        if kind in ("maximum", "minimum"):
            qs = [qs[0]] * 3
        b = draft.values(dtype, second, special=0.1)
        if kind in ("floor_div", "floor_mod", "div") and b.dtype.kind in "iu":
            b = np.where(b == (qs[1].zero_point if qs[1] else 0), np.asarray(1, b.dtype) + (0 if qs[1] is None else b), b)
        if kind == "pow" and dtype == "int32":
            b = np.abs(b) % 5
        if kind == "right_shift":
            b = (np.abs(b.astype(np.int64)) % np.iinfo(dtype).bits).astype(b.dtype)
        attrs = {"fused_activation_function": draft.one_of(FUSED)} if kind in ("add", "sub", "mul", "div") else {}
        if kind in ("add", "sub") and dtype == "int16":
            attrs["pot_scale_int16"] = False
        a = draft.put(dtype, first, qs[0], draft.values(dtype, first, special=0.1), fixed=0.15)
        draft.op(kind, [a, draft.put(dtype, second, qs[1], b, fixed=0.4)], [(dtype, qs[2])], attrs)

    return make


def compare(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(("float32", *INTS, *(("bool",) if "equal" in kind[:9] else ())))
        first, second = pair(draft)
        a = draft.put(dtype, first, draft.quant(dtype), draft.values(dtype, first, special=0.2))
        b = draft.put(dtype, second, draft.quant(dtype), draft.values(dtype, second, special=0.2), fixed=0.4)
        draft.op(kind, [a, b], [("bool", None)])

    return make


def select(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(("float32", *INTS, "bool"))
        first, second = pair(draft)
        full = np.broadcast_shapes(first, second)
        if kind == "select":
            first = second = full
            condition = draft.one_of((full, full[:1], ()))
        else:
            condition = tuple(1 if draft.chance(0.3) else d for d in full)
        q = draft.quant(dtype)
        ins = [draft.put("bool", condition), draft.put(dtype, first, q), draft.put(dtype, second, q, fixed=0.4)]
        draft.op(kind, ins, [(dtype, q)])

    return make


def cast(draft: Draft) -> None:
    source, result = draft.one_of(CASTS), draft.one_of(CASTS)
    shape = draft.shape()
    attrs = {"in_data_type": source.upper(), "out_data_type": result.upper()} if draft.chance(0.7) else {}
    draft.op("cast", [draft.put(source, shape)], [(result, None)], attrs)


def quantize(draft: Draft) -> None:
    source = draft.one_of(("float32", "float32", "int8", "uint8", "int16"))
    result = draft.one_of(QUANTISED)
    shape = draft.shape()
    q = draft.quant(source)
    draft.op("quantize", [draft.put(source, shape, q, draft.values(source, shape, special=0.1))], [(result, draft.quant(result))])


def dequantize(draft: Draft) -> None:
    source = draft.one_of(("int8", "uint8", "int16", "float16"))
    shape = draft.shape()
    q = draft.quant(source)
    if q is not None and shape and source == "int8" and draft.chance(0.3):
        axis = draft.whole(0, len(shape) - 1)
        q = quant(10 ** draft.rng.uniform(-3, 0, shape[axis]), 0, axis) if shape[axis] else q
    draft.op("dequantize", [draft.put(source, shape, q, fixed=0.3)], [("float32", None)], version=5)


def prelu(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "uint8"))
    full, second = draft.shape(1, 4), ()
    second = tuple(1 if draft.chance(0.4) else d for d in full)[draft.whole(0, 1) :]
    ins = [draft.put(dtype, full, draft.quant(dtype)), draft.put(dtype, second, draft.quant(dtype), fixed=0.7)]
    draft.op("prelu", ins, [(dtype, draft.quant(dtype))])


def softmax(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(("float32", *QUANTISED))
        result = dtype
        q = {"int8": quant(1 / 256, -128), "uint8": quant(1 / 256, 0), "int16": quant(1 / 32768)}.get(dtype)
        if kind == "log_softmax":
            q = {"int8": quant(16 / 256, 127), "uint8": quant(16 / 256, 255)}.get(dtype)
        if kind == "softmax" and dtype == "int8" and draft.chance(0.3):
            result, q = "int16", quant(1 / 65536, -32768)
        attrs = {"beta": float(np.float32(draft.one_of((1.0, 1.0, 0.1, 3.7))))} if kind == "softmax" else {}
        draft.op(kind, [draft.put(dtype, draft.shape(1, 5, 9), draft.quant(dtype))], [(result, q)], attrs)

    return make


def add_n(draft: Draft) -> None:
    dtype, shape = draft.one_of(("float32", "int32")), draft.shape()
    draft.op("add_n", [draft.put(dtype, shape) for _ in range(draft.whole(2, 4))], [(dtype, None)])


def l2_normalization(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "uint8"))
    q = {"int8": quant(1 / 128, 0), "uint8": quant(1 / 128, 128)}.get(dtype)
    draft.op("l2_normalization", [draft.put(dtype, draft.shape(1, 4, 9), draft.quant(dtype))], [(dtype, q)])


def fake_quant(draft: Draft) -> None:
    low = draft.rng.uniform(-6, 0)
    attrs = {"min": float(np.float32(low)), "max": float(np.float32(low + draft.rng.uniform(0.1, 9)))}
    attrs |= {"num_bits": draft.whole(2, 16), "narrow_range": draft.chance(0.5)}
    draft.op("fake_quant", [draft.put("float32", draft.shape())], [("float32", None)], attrs)


def bitcast(draft: Draft) -> None:
    source, result = draft.one_of(("float32", "int32", "int16", "int8", "uint8")), draft.one_of(("float32", "int32", "int16", "uint8"))
    shape = (*draft.shape(0, 3), draft.one_of((1, 2, 4)))
    draft.op("bitcast", [draft.put(source, shape)], [(result, None)])


MAKERS: dict[str, Maker] = {
    **{kind: unary(kind) for kind in UNARY},
    **{kind: binary(kind) for kind in BINARY},
    **{kind: compare(kind) for kind in COMPARE},
    **{kind: select(kind) for kind in ("select", "select_v2")},
    **{kind: softmax(kind) for kind in ("softmax", "log_softmax")},
    "cast": cast, "quantize": quantize, "dequantize": dequantize, "prelu": prelu, "add_n": add_n,
    "l2_normalization": l2_normalization, "fake_quant": fake_quant, "bitcast": bitcast,
}  # fmt: skip
