"""Normalisations along the last axis: softmax, log_softmax, l2_normalization, local_response_normalization."""

from __future__ import annotations

from collections.abc import Callable

from edged.graph.model import DType, Node
from edged.graph.ops.spec import attr
from edged_backends.lower.scale import clamp_f32
from edged_backends.lowering import Lowering

_F32 = {"softmax": "softmax_f32", "log_softmax": "log_softmax_f32", "l2_normalization": "l2_norm_f32"}


def lower_rows(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if source.dtype is not DType.FLOAT32 or output.dtype is not DType.FLOAT32:
        return f"{node.op} of {source.dtype}"
    if node.op == "l2_normalization" and attr(node, "fused_activation_function", "NONE") != "NONE":
        return f"a fused activation {clamp_f32(node)}"
    depth = source.shape[-1] if source.shape else 1
    params = {"depth": depth, "beta": float(attr(node, "beta", 1.0)) if node.op == "softmax" else 1.0}
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(_F32[node.op], params, refs, units=source.elements // depth, work=8 * source.elements)
    return None


def lower_lrn(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if source.dtype is not DType.FLOAT32:
        return f"{node.op} of {source.dtype}"
    depth = source.shape[-1]
    params = {
        "depth": depth, "radius": int(attr(node, "radius", 5)), "bias": float(attr(node, "bias", 1.0)),
        "alpha": float(attr(node, "alpha", 1.0)), "beta": float(attr(node, "beta", 0.5)),
    }  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step("lrn_f32", params, refs, units=source.elements // depth, work=40 * source.elements)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    **dict.fromkeys(_F32, lower_rows), "local_response_normalization": lower_lrn,
}  # fmt: skip
