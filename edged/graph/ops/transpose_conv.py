"""TRANSPOSE_CONV (float32, uint8, int8, int16x8, hybrid) and MediaPipe's Convolution2DTransposeBias.

Every input pixel is spread over a window of the output. Filter (outputs, height, width, inputs).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from edged.errors import ModelError, ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.geometry import Axis, axis
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr
from edged.graph.ops.weighted import (
    add_bias,
    centred,
    float_result,
    hybrid_weights,
    integer,
    is_hybrid,
    quantise_rows,
    requantise,
    scales_of,
)

Shapes = Sequence[Shape | None]


def infer_transpose_conv(node: Node, shapes: Shapes, value: Value) -> Shapes:
    wanted, weights = value(0), shapes[1]
    if wanted is None:
        return [None]
    shape = tuple(int(v) for v in wanted)
    if len(shape) != 4 or (weights is not None and shape[3] != weights[0]):
        raise ShapeError(f"{node.where}: output shape {shape} does not fit a filter of shape {weights}")
    return [shape]


def _axes(node: Node, size: Shape, weights: Array) -> tuple[Axis, Axis]:
    """The windows of the convolution that this is the transpose of: from the output to the input."""
    padding, where = attr(node, "padding", "SAME"), node.where
    strides = attr(node, "stride_h", 1), attr(node, "stride_w", 1)
    high = axis(padding, size[1], weights.shape[1], strides[0], 1, (0, 0), where)
    wide = axis(padding, size[2], weights.shape[2], strides[1], 1, (0, 0), where)
    return high, wide


def _spread(x: Array, weights: Array, size: Shape, high: Axis, wide: Axis) -> Array:
    """Sums of the scattered windows, cut to the output's size, in float64."""
    rows = max((x.shape[1] - 1) * high.stride + high.kernel, high.before + size[1])
    cols = max((x.shape[2] - 1) * wide.stride + wide.kernel, wide.before + size[2])
    full = np.zeros((x.shape[0], rows, cols, weights.shape[0]))
    source = x.astype(np.float64, copy=False)
    for row in range(high.kernel):
        for col in range(wide.kernel):
            down = slice(row, row + (x.shape[1] - 1) * high.stride + 1, high.stride)
            across = slice(col, col + (x.shape[2] - 1) * wide.stride + 1, wide.stride)
            full[:, down, across] += source @ weights[:, row, col].astype(np.float64).T
    return full[:, high.before : high.before + size[1], wide.before : wide.before + size[2]]


def transpose_conv(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: output shape, filter, input, bias."""
    wanted, weights, x = arrays[0], arrays[1], arrays[2]
    bias = arrays[3] if len(arrays) > 3 else None
    assert wanted is not None
    assert weights is not None
    assert x is not None
    size = tuple(int(v) for v in wanted)
    layer = replace(node, inputs=(node.input(2), node.input(1), *node.inputs[3:]))
    high, wide = _axes(node, size, weights)
    if integer(layer):
        kernel = centred(layer.input(1), weights)
        total = _spread(centred(layer.input(0), x), kernel, size, high, wide)
        return [requantise(layer, add_bias(total, bias), len(weights))]
    if is_hybrid(layer):
        real = _hybrid_sums(layer, x, weights, size, (high, wide))
        return [float_result(node, real if bias is None else real + bias)]
    total = _spread(x, weights, size, high, wide)
    return [float_result(node, total if bias is None else total + bias)]


def _hybrid_sums(node: Node, x: Array, weights: Array, size: Shape, axes: tuple[Axis, Axis]) -> Array:
    """Dynamic range: each image quantised by itself, asymmetrically."""
    values, scales, zeros = quantise_rows(x.reshape(len(x), -1), True)
    total = _spread((values - zeros[:, None]).reshape(x.shape), hybrid_weights(weights), size, *axes)
    factor = scales.reshape(-1, 1, 1, 1) * scales_of(node.input(1).quantization, len(weights))
    real: Array = total.astype(np.float32) * factor
    return real


def _macs(_node: Node, ins: Shapes, _outs: Shapes) -> int:
    weights, source = ins[1], ins[2]
    assert weights is not None
    assert source is not None
    return prod(source) * weights[0] * weights[1] * weights[2]


_PADDINGS = {1: "SAME", 2: "VALID"}


def _biased_axes(node: Node, source: Shape, weights: Shape) -> list[Axis]:
    """Height, width. The options are a TfLiteTransposeConvParams: padding, stride_width, stride_height."""
    if len(node.options) < 12:
        raise ModelError(f"{node.where}: {len(node.options)} bytes of options, 12 are needed")
    code, stride_w, stride_h = struct.unpack_from("<3i", node.options)
    if code not in _PADDINGS or min(stride_w, stride_h) < 1:
        raise ModelError(f"{node.where}: padding {code} and strides {stride_h}, {stride_w} have no meaning")
    axes = []
    for size, kernel, stride in zip(source[1:3], weights[1:3], (stride_h, stride_w), strict=True):
        cut = max(0, kernel - (size - 1) % stride - 1) if _PADDINGS[code] == "SAME" else 0
        out = stride * (size - 1) + kernel - cut
        axes.append(Axis(out, kernel, stride, 1, cut // 2, cut - cut // 2, size))
    return axes


def infer_biased(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    if len(source) != 4 or len(weights) != 4 or source[3] != weights[3]:
        raise ShapeError(f"{node.where}: an input of shape {source} does not fit a filter of shape {weights}")
    high, wide = _biased_axes(node, source, weights)
    return [(source[0], high.size, wide.size, weights[0])]


def convolution_2d_transpose_bias(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: input, filter, bias. Source: mediapipe/util/tflite/operations/transpose_conv_bias.cc."""
    x, weights, bias = arrays[0], arrays[1], arrays[2]
    assert x is not None
    assert weights is not None
    assert bias is not None
    (size,) = infer_biased(node, [x.shape, weights.shape], lambda _i: None)
    assert size is not None
    high, wide = _biased_axes(node, x.shape, weights.shape)
    return [(_spread(x, weights, size, high, wide) + bias).astype(np.float32)]


def _biased_macs(node: Node, ins: Shapes, outs: Shapes) -> int:
    return _macs(node, [None, ins[1], ins[0]], outs)


_ATTRS = {
    "padding": "SAME",
    "stride_w": 0,
    "stride_h": 0,
    "fused_activation_function": "NONE",
    "quantized_bias_type": "FLOAT32",
}

OPS: tuple[OpSpec, ...] = (
    OpSpec("transpose_conv", infer_transpose_conv, transpose_conv, _ATTRS, (3, 4), macs=_macs),
    OpSpec(
        "custom:Convolution2DTransposeBias",
        infer_biased,
        convolution_2d_transpose_bias,
        inputs=(3, 3),
        macs=_biased_macs,
    ),
)
