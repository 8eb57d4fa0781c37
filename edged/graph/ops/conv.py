"""CONV_2D and DEPTHWISE_CONV_2D: float32, uint8, int8, int16x8, int4 weights, dynamic range (float32 x int8).

LiteRT's optimised kernels and TFLite Micro disagree by one in rare ties: the former (ruy on x86, depthwise)
round the final shift upwards, Micro and LiteRT's reference kernels away from zero. These follow Micro.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.geometry import padded, patches, window
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value
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
Sums = Callable[[Array, Array, Node], Array]


def _groups(node: Node, channels: int, depth: int) -> int:
    if depth == 0 or channels % depth:
        raise ShapeError(
            f"{node.where}: {channels} input channels are not a multiple of the filter's {depth}"
        )
    return channels // depth


def infer_conv(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    if len(weights) != 4:
        raise ShapeError(f"{node.where}: the filter must have 4 dimensions, it has shape {weights}")
    high, wide = window(node, source, (weights[1], weights[2]))
    groups = _groups(node, source[3], weights[3])
    if weights[0] % groups:
        raise ShapeError(f"{node.where}: {weights[0]} output channels do not split into {groups} groups")
    return [(source[0], high.out, wide.out, weights[0])]


def infer_depthwise(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    if len(weights) != 4 or weights[0] != 1:
        raise ShapeError(
            f"{node.where}: the filter must have shape 1 x height x width x channels, it has {weights}"
        )
    high, wide = window(node, source, (weights[1], weights[2]))
    _groups(node, weights[3], source[3])
    return [(source[0], high.out, wide.out, weights[3])]


def _conv_sums(x: Array, weights: Array, node: Node) -> Array:
    """Sums over the window of x times weights, in float64. Padding counts as 0."""
    high, wide = window(node, x.shape, (weights.shape[1], weights.shape[2]))
    view = patches(padded(x, high, wide), high, wide)
    depth, outputs = weights.shape[3], weights.shape[0]
    groups = _groups(node, x.shape[3], depth)
    each = outputs // groups
    matrices = weights.reshape(groups, each, prod(weights.shape[1:])).astype(np.float64, copy=False)
    total = np.empty((x.shape[0] * high.out * wide.out, outputs))
    for g in range(groups):
        columns = view[..., g * depth : (g + 1) * depth].reshape(len(total), matrices.shape[-1])
        np.matmul(columns, matrices[g].T, out=total[:, g * each : (g + 1) * each])
    return total.reshape(x.shape[0], high.out, wide.out, outputs)


def _depthwise_sums(x: Array, weights: Array, node: Node) -> Array:
    """As _conv_sums; output channel i reads input channel i // multiplier."""
    high, wide = window(node, x.shape, (weights.shape[1], weights.shape[2]))
    view = patches(padded(x, high, wide), high, wide)
    multiplier = weights.shape[3] // x.shape[3]
    total = np.zeros((x.shape[0], high.out, wide.out, weights.shape[3]))
    for row in range(high.kernel):
        for col in range(wide.kernel):
            tap = view[:, :, :, row, col, :]
            spread = np.repeat(tap, multiplier, axis=3) if multiplier > 1 else tap
            total += spread * weights[0, row, col].astype(np.float64, copy=False)
    return total


def _weighted(node: Node, arrays: Arrays, sums: Sums, channels: int) -> Array:
    """One window op on its arrays, whatever its dtypes; `sums` is _conv_sums or _depthwise_sums."""
    x, weights, bias = arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None
    assert x is not None
    assert weights is not None
    if integer(node):
        total = sums(centred(node.input(0), x), centred(node.input(1), weights), node)
        return requantise(node, add_bias(total, bias), channels)
    if is_hybrid(node):
        return _hybrid(node, x, weights, bias, sums, channels)
    total = sums(x.astype(np.float64), weights, node)
    return float_result(node, total if bias is None else total + bias)


def _hybrid(node: Node, x: Array, weights: Array, bias: Array | None, sums: Sums, channels: int) -> Array:
    """Dynamic range: each image is quantised by itself.

    Asymmetrically where the filter's scales differ, in depthwise and in grouped ones, else symmetrically.
    """
    quantization = node.input(1).quantization
    differ = quantization is not None and len(set(quantization.scales)) > 1
    grouped = node.op == "depthwise_conv_2d" or weights.shape[3] != x.shape[3]
    values, scales, zeros = quantise_rows(x.reshape(len(x), -1), differ or grouped)
    total = sums((values - zeros[:, None]).reshape(x.shape), hybrid_weights(weights), node)
    factor = scales.reshape(-1, 1, 1, 1) * scales_of(quantization, channels)
    real = total.astype(np.float32) * factor
    return float_result(node, real if bias is None else real + bias)


def conv_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Filter (outputs, height, width, inputs / groups)."""
    weights = arrays[1]
    assert weights is not None
    return [_weighted(node, arrays, _conv_sums, weights.shape[0])]


def depthwise_conv_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Filter (1, height, width, inputs * multiplier)."""
    weights = arrays[1]
    assert weights is not None
    return [_weighted(node, arrays, _depthwise_sums, weights.shape[3])]


def _conv_macs(_node: Node, ins: Shapes, outs: Shapes) -> int:
    weights, result = ins[1], outs[0]
    assert weights is not None
    assert result is not None
    return int(np.prod(result)) * weights[1] * weights[2] * weights[3]


def _depthwise_macs(_node: Node, ins: Shapes, outs: Shapes) -> int:
    weights, result = ins[1], outs[0]
    assert weights is not None
    assert result is not None
    return int(np.prod(result)) * weights[1] * weights[2]


_WINDOW_ATTRS = {
    "padding": "SAME",
    "stride_w": 0,
    "stride_h": 0,
    "fused_activation_function": "NONE",
    "dilation_w_factor": 1,
    "dilation_h_factor": 1,
}
_CONV_ATTRS = {**_WINDOW_ATTRS, "quantized_bias_type": "FLOAT32"}

OPS: tuple[OpSpec, ...] = (
    OpSpec("conv_2d", infer_conv, conv_2d, _CONV_ATTRS, (2, 3), macs=_conv_macs),
    OpSpec(
        "depthwise_conv_2d",
        infer_depthwise,
        depthwise_conv_2d,
        {**_WINDOW_ATTRS, "depth_multiplier": 0},
        (2, 3),
        macs=_depthwise_macs,
    ),
)
