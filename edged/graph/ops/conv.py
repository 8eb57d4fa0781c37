"""CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV: float32, uint8, int8, int16x8 and dynamic range (float32 x
int8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.geometry import padded, patches, window
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value
from edged.graph.ops.weighted import (
    exact_matmul,
    float_result,
    integer,
    is_hybrid,
    quantise_rows,
    requantise,
    scales_of,
    zero_point,
)

Shapes = Sequence[Shape | None]


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


def _conv_sums(x: Array, weights: Array, node: Node, fill: float, exact: bool) -> Array:
    """Sums over the window of x (already less its zero point, or padded with `fill`) times weights."""
    high, wide = window(node, x.shape, (weights.shape[1], weights.shape[2]))
    view = patches(np.ascontiguousarray(padded(x, high, wide, fill)), high, wide)
    depth, outputs = weights.shape[3], weights.shape[0]
    groups = _groups(node, x.shape[3], depth)
    each = outputs // groups
    parts = []
    for g in range(groups):
        columns = view[..., g * depth : (g + 1) * depth].reshape(-1, high.kernel * wide.kernel * depth)
        matrix = weights[g * each : (g + 1) * each].reshape(each, -1).T
        parts.append(
            exact_matmul(columns, matrix) if exact else columns.astype(np.float64) @ matrix.astype(np.float64)
        )
    return np.concatenate(parts, axis=1).reshape(x.shape[0], high.out, wide.out, outputs)


def _depthwise_sums(x: Array, weights: Array, node: Node, fill: float, exact: bool) -> Array:
    high, wide = window(node, x.shape, (weights.shape[1], weights.shape[2]))
    source = np.ascontiguousarray(padded(x, high, wide, fill))
    multiplier = weights.shape[3] // x.shape[3]
    kind: Any = np.int64 if exact else np.float64
    sums = np.zeros((x.shape[0], high.out, wide.out, weights.shape[3]), kind)
    view = patches(source, high, wide)
    for r in range(high.kernel):
        for c in range(wide.kernel):
            tap = view[:, :, :, r, c, :].astype(kind)
            sums += (np.repeat(tap, multiplier, axis=3) if multiplier > 1 else tap) * weights[0, r, c].astype(
                kind
            )
    return sums


def _weighted(node: Node, arrays: Arrays, sums: Any, channels: int) -> Array:
    """One window op on its arrays, whatever its dtypes; `sums` is _conv_sums or _depthwise_sums."""
    x, weights, bias = arrays[0], arrays[1], arrays[2] if len(arrays) > 2 else None
    assert x is not None and weights is not None
    if integer(node):
        centred = x.astype(np.int64) - zero_point(node.input(0))
        kernel = weights.astype(np.int64) - zero_point(node.input(1))
        total = sums(centred, kernel, node, 0, True)
        return requantise(node, total if bias is None else total + bias.astype(np.int64), channels)
    if is_hybrid(node):
        return _hybrid(node, x, weights, bias, sums, channels)
    total = sums(x, weights, node, 0, False)
    return float_result(node, total if bias is None else total + bias.astype(np.float64))


def _hybrid(node: Node, x: Array, weights: Array, bias: Array | None, sums: Any, channels: int) -> Array:
    """Dynamic range: each image quantised asymmetrically (per-channel weights) or symmetrically (per-tensor
    ones)."""
    quantization = node.input(1).quantization
    per_channel = quantization is not None and len(quantization.scales) > 1
    values, scales, zeros = quantise_rows(
        x.reshape(len(x), -1), asymmetric=per_channel or node.op == "depthwise_conv_2d"
    )
    centred = (values - zeros[:, None]).reshape(x.shape)
    total = sums(centred, weights.astype(np.int64), node, 0, True)
    factor = scales.reshape(-1, 1, 1, 1) * scales_of(quantization, channels)
    real = total * factor.astype(np.float32)
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
    assert weights is not None and result is not None
    return int(np.prod(result)) * weights[1] * weights[2] * weights[3]


def _depthwise_macs(_node: Node, ins: Shapes, outs: Shapes) -> int:
    weights, result = ins[1], outs[0]
    assert weights is not None and result is not None
    return int(np.prod(result)) * weights[1] * weights[2]


def infer_transpose(node: Node, shapes: Shapes, value: Value) -> Shapes:
    wanted = value(0)
    return [None if wanted is None else tuple(int(v) for v in wanted)]


def transpose_conv(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: output shape, filter (outputs, height, width, inputs), input, bias. Each input pixel is spread
    over a window of the output.

    Quantised, the scales are those of input, filter and output as in conv_2d; the input zero point is taken
    off first.
    """
    shape, weights, x = arrays[0], arrays[1], arrays[2]
    bias = arrays[3] if len(arrays) > 3 else None
    assert shape is not None and weights is not None and x is not None
    size = tuple(int(v) for v in shape)
    conv = Node(
        node.op,
        (node.input(2), node.input(1), *node.inputs[3:]),
        node.outputs,
        node.attrs,
        origin=node.origin,
    )
    exact = integer(conv)
    kind: Any = np.int64 if exact else np.float64
    source = x.astype(kind) - (zero_point(node.input(2)) if exact else 0)
    kernel = weights.astype(kind) - (zero_point(node.input(1)) if exact else 0)
    high, wide = window(node, size, (weights.shape[1], weights.shape[2]))
    rows = max((x.shape[1] - 1) * high.stride + high.kernel, high.before + size[1])
    cols = max((x.shape[2] - 1) * wide.stride + wide.kernel, wide.before + size[2])
    full = np.zeros((x.shape[0], rows, cols, weights.shape[0]), kind)
    for r in range(high.kernel):
        for c in range(wide.kernel):
            part = exact_matmul(source, kernel[:, r, c].T) if exact else source @ kernel[:, r, c].T
            full[
                :,
                r : r + (x.shape[1] - 1) * high.stride + 1 : high.stride,
                c : c + (x.shape[2] - 1) * wide.stride + 1 : wide.stride,
            ] += part
    total = full[:, high.before : high.before + size[1], wide.before : wide.before + size[2]]
    if bias is not None:
        total = total + bias.astype(kind)
    return [requantise(conv, total, weights.shape[0]) if exact else float_result(conv, total)]


_CONV_ATTRS = {
    "padding": "SAME",
    "stride_w": 0,
    "stride_h": 0,
    "fused_activation_function": "NONE",
    "dilation_w_factor": 1,
    "dilation_h_factor": 1,
}

OPS: tuple[OpSpec, ...] = (
    OpSpec("conv_2d", infer_conv, conv_2d, _CONV_ATTRS, (2, 3), macs=_conv_macs),
    OpSpec(
        "depthwise_conv_2d",
        infer_depthwise,
        depthwise_conv_2d,
        {**_CONV_ATTRS, "depth_multiplier": 0},
        (2, 3),
        macs=_depthwise_macs,
    ),
    OpSpec(
        "transpose_conv",
        infer_transpose,
        transpose_conv,
        {"padding": "SAME", "stride_w": 0, "stride_h": 0, "fused_activation_function": "NONE"},
        (3, 4),
    ),
)
