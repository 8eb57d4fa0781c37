"""BATCH_MATMUL: float32, int8, int16, and hybrid (float32 x int8).

Hybrid with more than one batch dimension: LiteRT takes scales of wrong rows there; this takes the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import DType, Node, Shape
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr, quantised
from edged.graph.ops.weighted import (
    centred,
    exact_matmul,
    hybrid_weights,
    integer,
    is_hybrid,
    quantise_rows,
    requantise,
    scales_of,
)

Shapes = Sequence[Shape | None]


def _swapped(shape: Shape, swap: bool) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if swap else shape


def infer_batch_matmul(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if shapes[0] is None or shapes[1] is None:
        return [None]
    if min(len(shapes[0]), len(shapes[1])) < 2:
        raise ShapeError(
            f"{node.where}: both inputs need at least 2 dimensions, they are {shapes[0]} and {shapes[1]}"
        )
    left = _swapped(shapes[0], attr(node, "adj_x", False))
    right = _swapped(shapes[1], attr(node, "adj_y", False))
    if left[-1] != right[-2]:
        raise ShapeError(f"{node.where}: {left} and {right} do not multiply")
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise ShapeError(f"{node.where}: batches {left[:-2]} and {right[:-2]} do not broadcast") from None
    return [(*batch, left[-2], right[-1])]


def batch_matmul(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Products of the last two dimensions, the others broadcast; quantised tensors have one scale each."""
    left, right = arrays[0], arrays[1]
    assert left is not None
    assert right is not None
    left = np.swapaxes(left, -1, -2) if attr(node, "adj_x", False) else left
    right = np.swapaxes(right, -1, -2) if attr(node, "adj_y", False) else right
    if integer(node):
        total = exact_matmul(centred(node.input(0), left), centred(node.input(1), right))
        return [requantise(node, total, 1)]
    if is_hybrid(node) and quantised(node.input(1)):
        return [_hybrid(node, left, right)]
    if node.input(0).dtype is DType.INT8 and node.outputs[0].dtype is DType.INT32:
        return [exact_matmul(left, right).astype(np.int32)]
    return [(left.astype(np.float64) @ right.astype(np.float64)).astype(np.float32)]


def _hybrid(node: Node, left: Array, right: Array) -> Array:
    """Every row of the left side quantised by itself."""
    rows = left.reshape(-1, left.shape[-1])
    values, scales, zeros = quantise_rows(rows, attr(node, "asymmetric_quantize_inputs", False))
    total = exact_matmul((values - zeros[:, None]).reshape(left.shape), hybrid_weights(right))
    factor = scales.reshape(*left.shape[:-1], 1) * scales_of(node.input(1).quantization, right.shape[-1])
    real: Array = total.astype(np.float32) * factor
    return real


def _macs(node: Node, ins: Shapes, outs: Shapes) -> int:
    left, result = ins[0], outs[0]
    assert left is not None
    assert result is not None
    return prod(result) * _swapped(left, attr(node, "adj_x", False))[-1]


_ATTRS = {"adj_x": False, "adj_y": False, "asymmetric_quantize_inputs": False}

OPS: tuple[OpSpec, ...] = (
    OpSpec("batch_matmul", infer_batch_matmul, batch_matmul, _ATTRS, (2, 2), macs=_macs),
)
