"""Average, maximum and L2 pooling."""

from __future__ import annotations

from collections.abc import Callable

from edged.graph.model import DType, Node
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
    batch, in_h, in_w, channels = source.shape
    _, out_h, out_w, _ = output.shape
    kernel_h, kernel_w = int(attr(node, "filter_height", 1)), int(attr(node, "filter_width", 1))
    stride_h, stride_w = int(attr(node, "stride_h", 1)), int(attr(node, "stride_w", 1))
    same = attr(node, "padding", "SAME") == "SAME"
    low, high = clamp_f32(node) if suffix == "f32" else clamp_q(node, quant)
    params = {
        "in_h": in_h, "in_w": in_w, "channels": channels, "out_h": out_h, "out_w": out_w, "kernel_h": kernel_h,
        "kernel_w": kernel_w, "stride_h": stride_h, "stride_w": stride_w,
        "pad_top": before(in_h, out_h, kernel_h, stride_h) if same else 0,
        "pad_left": before(in_w, out_w, kernel_w, stride_w) if same else 0, "low": low, "high": high,
    }  # fmt: skip
    work = output.elements * kernel_h * kernel_w
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(f"{_OPS[node.op]}_{suffix}", params, refs, units=batch * out_h, work=work)
    return None


def before(size: int, out: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Elements of SAME padding before the first one (ComputePadding)."""
    return max(0, ((out - 1) * stride + (kernel - 1) * dilation + 1 - size) // 2)


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = dict.fromkeys(_OPS, lower_pool)
