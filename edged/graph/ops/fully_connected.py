"""FULLY_CONNECTED and BATCH_MATMUL: float32, uint8, int8, int16x8, and dynamic range (float32 x int8 or
int4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr, quantised
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


def infer_fully_connected(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    if len(weights) != 2:
        raise ShapeError(f"{node.where}: the weights must have 2 dimensions, they have shape {weights}")
    outputs, depth = weights
    if depth == 0 or prod(source) % depth:
        raise ShapeError(f"{node.where}: an input of shape {source} does not split into rows of {depth}")
    if attr(node, "keep_num_dims", False):
        if source[-1] != depth:
            raise ShapeError(
                f"{node.where}: the last input dimension is {source[-1]}, the weights take {depth}"
            )
        return [(*source[:-1], outputs)]
    return [(prod(source) // depth, outputs)]


def fully_connected(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Input (..., depth), weights (outputs, depth), bias (outputs). The output keeps the input's dimensions
    on request."""
    x, weights = arrays[0], arrays[1]
    assert x is not None
    assert weights is not None
    bias = arrays[2] if len(arrays) > 2 else None
    (shape,) = infer_fully_connected(node, [x.shape, weights.shape], lambda _i: None)
    assert shape is not None
    rows = x.reshape(-1, weights.shape[1])
    return [_product(node, rows, weights, bias).reshape(shape)]


def _product(node: Node, rows: Array, weights: Array, bias: Array | None) -> Array:
    if integer(node):
        centred = rows.astype(np.int64) - zero_point(node.input(0))
        total = exact_matmul(centred, (weights.astype(np.int64) - zero_point(node.input(1))).T)
        return requantise(node, total if bias is None else total + bias.astype(np.int64), len(weights))
    if is_hybrid(node):
        return _hybrid(node, rows, weights, bias)
    total = rows.astype(np.float64) @ weights.astype(np.float64).T
    return float_result(node, total if bias is None else total + bias.astype(np.float64))


def _hybrid(node: Node, rows: Array, weights: Array, bias: Array | None) -> Array:
    """Dynamic range: every row quantised by itself, symmetrically unless the file asks otherwise; zero rows
    stay zero."""
    values, scales, zeros = quantise_rows(rows, attr(node, "asymmetric_quantize_inputs", False))
    total = exact_matmul(values - zeros[:, None], weights.astype(np.int64).T)
    factor = scales[:, None] * scales_of(node.input(1).quantization, len(weights))
    real = total.astype(np.float32) * factor.astype(np.float32)
    return float_result(node, real if bias is None else real + bias)


def _fc_macs(_node: Node, ins: Shapes, _outs: Shapes) -> int:
    source, weights = ins[0], ins[1]
    assert source is not None
    assert weights is not None
    return prod(source) * weights[0]


def _swapped(shape: Shape, swap: bool) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if swap else shape


def infer_batch_matmul(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if shapes[0] is None or shapes[1] is None:
        return [None]
    if min(len(shapes[0]), len(shapes[1])) < 2:
        raise ShapeError(
            f"{node.where}: both inputs need at least 2 dimensions, they are {shapes[0]} and {shapes[1]}"
        )
    left, right = (
        _swapped(shapes[0], attr(node, "adj_x", False)),
        _swapped(shapes[1], attr(node, "adj_y", False)),
    )
    if left[-1] != right[-2]:
        raise ShapeError(f"{node.where}: {left} and {right} do not multiply")
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise ShapeError(
            f"{node.where}: batch dimensions {left[:-2]} and {right[:-2]} do not broadcast"
        ) from None
    return [(*batch, left[-2], right[-1])]


def batch_matmul(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Products of the last two dimensions, the others broadcast; int8 and int16 with one scale each."""
    left, right = arrays[0], arrays[1]
    assert left is not None
    assert right is not None
    left = np.swapaxes(left, -1, -2) if attr(node, "adj_x", False) else left
    right = np.swapaxes(right, -1, -2) if attr(node, "adj_y", False) else right
    if integer(node):
        a = left.astype(np.int64) - zero_point(node.input(0))
        b = right.astype(np.int64) - zero_point(node.input(1))
        return [requantise(replace(node, inputs=node.inputs[:2]), exact_matmul(a, b), 1)]
    if is_hybrid(node) and quantised(node.input(1)):
        return [_hybrid_matmul(node, left, right)]
    return [(left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)]


def _hybrid_matmul(node: Node, left: Array, right: Array) -> Array:
    rows = left.reshape(-1, left.shape[-1])
    values, scales, zeros = quantise_rows(rows, attr(node, "asymmetric_quantize_inputs", False))
    centred = (values - zeros[:, None]).reshape(left.shape)
    factor = scales.reshape(*left.shape[:-1], 1) * scales_of(node.input(1).quantization, 1)
    return (exact_matmul(centred, right).astype(np.float32) * factor).astype(np.float32)


def _matmul_macs(node: Node, ins: Shapes, outs: Shapes) -> int:
    left, result = ins[0], outs[0]
    assert left is not None
    assert result is not None
    return prod(result) * _swapped(left, attr(node, "adj_x", False))[-1]


OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "fully_connected",
        infer_fully_connected,
        fully_connected,
        {
            "fused_activation_function": "NONE",
            "weights_format": "DEFAULT",
            "keep_num_dims": False,
            "asymmetric_quantize_inputs": False,
        },
        (2, 3),
        macs=_fc_macs,
    ),
    OpSpec(
        "batch_matmul",
        infer_batch_matmul,
        batch_matmul,
        {"adj_x": False, "adj_y": False, "asymmetric_quantize_inputs": False},
        (2, 2),
        macs=_matmul_macs,
    ),
)
