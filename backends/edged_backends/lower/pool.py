"""Average, maximum and L2 pooling."""

from __future__ import annotations

from collections.abc import Callable

from edged.graph.model import DType, Node
from edged.graph.ops.geometry import window
from edged.graph.ops.spec import attr
from edged_backends.lower.scale import clamp_f32, clamp_q
from edged_backends.lowering import Lowering

_OPS = {"average_pool_2d": "average_pool", "max_pool_2d": "max_pool", "l2_pool_2d": "l2_pool"}
_SUFFIX = {DType.INT8: "s8", DType.INT16: "s16", DType.FLOAT32: "f32"}


def lower_pool(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    quant = lowering.internal(output)
    suffix = _SUFFIX.get(quant.dtype)
    if suffix is None or (node.op == "l2_pool_2d" and suffix != "f32"):
        return f"pooling of {source.dtype}"
    mine = lowering.internal(source)
    if suffix != "f32" and (mine.scales, mine.zero_points) != (quant.scales, quant.zero_points):
        return "input and output have different scales"
    high, wide = window(
        node, source.shape, (int(attr(node, "filter_height", 1)), int(attr(node, "filter_width", 1)))
    )
    params: dict[str, int | float] = {
        "in_h": high.size, "in_w": wide.size, "channels": source.shape[3], "out_h": high.out,
        "out_w": wide.out,
        "kernel_h": high.kernel, "kernel_w": wide.kernel, "stride_h": high.stride, "stride_w": wide.stride,
        "pad_top": high.before, "pad_left": wide.before,
    }  # fmt: skip
    if suffix == "f32":
        params["low"], params["high"] = clamp_f32(node)
    else:
        params["low"], params["high"] = clamp_q(node, quant)
        params["lift"] = 128 if lowering.is_shifted(source) else 0
    work = output.elements * high.kernel * wide.kernel
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(f"{_OPS[node.op]}_{suffix}", params, refs, units=source.shape[0] * high.out, work=work)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = dict.fromkeys(_OPS, lower_pool)
