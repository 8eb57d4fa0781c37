"""TRANSPOSE_CONV, and MediaPipe's custom Convolution2DTransposeBias."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.spec import attr
from edged.graph.ops.weighted import wide_bias
from edged_backends.lower.hybrid import lower_transposed
from edged_backends.lower.scale import clamp_f32, clamp_q
from edged_backends.lower.weighted import Weights, plain_operands, weights_of
from edged_backends.lowering import Lowering


def lower_transpose_conv(lowering: Lowering, node: Node) -> str | None:
    """Inputs: output shape, filter, input, bias."""
    layer = replace(node, inputs=(node.input(2), node.input(1), *node.inputs[3:]))
    return _lower(lowering, layer, (_pad(node, 1, "stride_h"), _pad(node, 2, "stride_w")), _strides(node))


def _strides(node: Node) -> tuple[int, int]:
    return int(attr(node, "stride_h", 1)), int(attr(node, "stride_w", 1))


def _pad(node: Node, axis: int, stride: str) -> int:
    """Padding before the output along `axis`: that of the convolution which this is the transpose of."""
    if attr(node, "padding", "SAME") != "SAME":
        return 0
    size, kernel = node.outputs[0].shape[axis], node.input(1).shape[axis]
    step = int(attr(node, stride, 1))
    return max(0, ((-(-size // step) - 1) * step + kernel - size) // 2)


def lower_biased(lowering: Lowering, node: Node) -> str | None:
    """Inputs: input, filter, bias. The options are a TfLiteTransposeConvParams: padding, width, height."""
    if len(node.options) < 12:
        return f"{len(node.options)} bytes of options, 12 are needed"
    code, stride_w, stride_h = struct.unpack_from("<3i", node.options)
    source, kernel = node.input(0).shape, node.input(1).shape
    pads = []
    for axis, stride in ((1, stride_h), (2, stride_w)):
        cut = max(0, kernel[axis] - (source[axis] - 1) % stride - 1) if code == 1 else 0
        pads.append(cut // 2)
    return _lower(lowering, node, (pads[0], pads[1]), (stride_h, stride_w))


def _lower(lowering: Lowering, layer: Node, pads: tuple[int, int], strides: tuple[int, int]) -> str | None:
    w = weights_of(lowering, layer)
    if isinstance(w, str):
        return w
    output = layer.outputs[0]
    kinds = (lowering.internal(layer.input(0)).dtype, w.quant.dtype, lowering.internal(output).dtype)
    rule = _KINDS.get(kinds)
    hybrid = kinds == (DType.FLOAT32, DType.INT8, DType.FLOAT32)
    if rule is None and not hybrid:
        return f"a transposed convolution of {kinds[0]} with {kinds[1]} weights to {kinds[2]}"
    source, (channels, kernel_h, kernel_w, _) = layer.input(0).shape, layer.input(1).shape
    params = {
        "in_h": source[1], "in_w": source[2], "in_c": source[3], "out_h": output.shape[1],
        "out_w": output.shape[2], "out_c": channels, "kernel_h": kernel_h, "kernel_w": kernel_w,
        "stride_h": strides[0], "stride_w": strides[1], "pad_top": pads[0], "pad_left": pads[1],
    }  # fmt: skip
    if rule is None:
        return lower_transposed(lowering, layer, w, params)
    op, own = rule(lowering, layer, w)
    refs = [lowering.ref(output), lowering.ref(layer.input(0)), *plain_operands(lowering, w)]
    work = layer.input(0).elements * channels * kernel_h * kernel_w
    lowering.step(op, {**params, **own}, refs, units=source[0] * output.shape[1], work=work)
    return None


_Params = tuple[str, Mapping[str, int | float]]


def _f32(lowering: Lowering, layer: Node, w: Weights) -> _Params:
    del lowering, w
    low, high = clamp_f32(layer)
    return "transpose_conv_f32", {"act_min": low, "act_max": high}


def _bounds(lowering: Lowering, layer: Node, output: Tensor) -> dict[str, int | float]:
    low, high = clamp_q(layer, lowering.internal(output))
    return {"act_min": low, "act_max": high}


def _s8(lowering: Lowering, layer: Node, w: Weights) -> _Params:
    source, output = lowering.internal(layer.input(0)), lowering.internal(layer.outputs[0])
    zeros = {"input_zero": source.zero_point, "weight_zero": w.quant.zero_point}
    bounds = _bounds(lowering, layer, layer.outputs[0])
    return "transpose_conv_s8", {**zeros, "output_zero": output.zero_point, **bounds}


def _s16(lowering: Lowering, layer: Node, w: Weights) -> _Params:
    del w
    wide = int(wide_bias(layer))
    return "transpose_conv_s16", {"wide": wide, **_bounds(lowering, layer, layer.outputs[0])}


_KINDS: Mapping[tuple[DType, DType, DType], Callable[[Lowering, Node, Weights], _Params]] = {
    (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32): _f32,
    (DType.INT8, DType.INT8, DType.INT8): _s8,
    (DType.INT16, DType.INT8, DType.INT16): _s16,
}
"""(input, weights, output) -> the op and the params that are its own."""

LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "transpose_conv": lower_transpose_conv,
    "custom:Convolution2DTransposeBias": lower_biased,
}
