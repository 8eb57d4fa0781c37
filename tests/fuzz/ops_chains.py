"""Makers of small graphs: an op of another maker and one to three more behind it, which passes fuse, fold or cancel."""

from __future__ import annotations

import numpy as np

from edged.graph.model import Quantization, Tensor
from fuzz import ops_elementwise, ops_moving, ops_weighted
from fuzz.ops_draft import Draft, Maker
from support.build import quant

HEADS: dict[str, Maker] = {
    name: maker
    for family, names in (
        (ops_weighted, ("conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv", "average_pool_2d", "max_pool_2d")),
        (ops_moving, ("reshape", "transpose", "concatenation", "pad", "split", "strided_slice", "slice", "gather")),
        (ops_elementwise, ("add", "mul", "sub", "relu", "logistic", "quantize", "maximum")),
    )
    for name, maker in ((n, family.MAKERS[n]) for n in names)
}


def _activation(draft: Draft, x: Tensor, q: Quantization | None) -> tuple[Tensor, Quantization | None]:
    kind = draft.one_of(("relu", "relu6", "relu_n1_to_1", "logistic", "tanh", "hard_swish", "leaky_relu"))
    dtype = str(x.dtype)
    if dtype == "int16" and kind in ("relu_n1_to_1", "hard_swish"):
        kind = "relu"
    result = q if kind.startswith("relu") and draft.chance(0.6) else draft.quant(dtype, -2.5, -1.0)
    if kind in ("logistic", "tanh") and q is not None:
        result = ops_elementwise.fixed_range(kind, dtype)
    attrs = {"alpha": float(np.float32(draft.rng.uniform(0, 1)))} if kind == "leaky_relu" else {}
    return draft.op(kind, [x], [(dtype, result)], attrs)[0], result


def _scalar(draft: Draft, x: Tensor, q: Quantization | None) -> tuple[Tensor, Quantization | None]:
    """With a constant that broadcasts to anything, on either side."""
    dtype, result = str(x.dtype), draft.quant(str(x.dtype), -2.5, -1.0)
    other = draft.constant(dtype, draft.values(dtype, draft.one_of(((), (1,)))), draft.quant(dtype, -2.5, -1.0))
    pair = [x, other] if draft.chance(0.7) else [other, x]
    attrs: dict[str, object] = {"fused_activation_function": draft.one_of(ops_elementwise.FUSED)}
    kind = draft.one_of(("add", "sub", "mul"))
    if kind != "mul" and dtype == "int16":
        attrs["pot_scale_int16"] = False
    return draft.op(kind, pair, [(dtype, result)], attrs)[0], result


def _itself(draft: Draft, x: Tensor, q: Quantization | None) -> tuple[Tensor, Quantization | None]:
    result = draft.quant(str(x.dtype), -2.5, -1.0)
    kind, attrs = draft.one_of((("mul", {}), ("maximum", {})))
    result = q if kind == "maximum" else result
    return draft.op(kind, [x, x], [(str(x.dtype), result)], attrs)[0], result


def _flat(draft: Draft, x: Tensor, q: Quantization | None) -> tuple[Tensor, Quantization | None]:
    shape = draft.one_of(([-1], [1, -1], [-1, 1], [1, 1, -1]))
    return draft.op("reshape", [x, draft.constant("int32", shape)], [(str(x.dtype), q)])[0], q


def _there_and_back(draft: Draft, x: Tensor, q: Quantization | None) -> tuple[Tensor, Quantization | None]:
    """To floats and back, or to another quantisation: what converters leave behind."""
    dtype = str(x.dtype)
    if q is None:
        q = quant(10 ** draft.rng.uniform(-2, -1), draft.whole(-128, 127))
        (x,) = draft.op("quantize", [x], [("int8", q)])
        return draft.op("dequantize", [x], [("float32", None)])[0], None
    result = draft.quant(dtype, -2.5, -1.0)
    if draft.chance(0.5):
        (x,) = draft.op("dequantize", [x], [("float32", None)])
    return draft.op("quantize", [x], [(dtype, result)])[0], result


TAILS = (_activation, _activation, _scalar, _itself, _flat, _there_and_back)


def chain(head: str) -> Maker:
    def make(draft: Draft) -> None:
        HEADS[head](draft)
        for _ in range(draft.whole(1, 3)):
            x = draft.nodes[-1].outputs[-1]
            if x.dtype in ("float32", "int8", "uint8", "int16"):
                draft.one_of(TAILS)(draft, x, x.quantization)

    return make


MAKERS: dict[str, Maker] = {f"{head} and more": chain(head) for head in HEADS}
