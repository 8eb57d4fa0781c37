"""CONV_3D and CONV_3D_TRANSPOSE: float32, depth before height before width, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.geometry import Axis, axis
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr
from edged.graph.ops.weighted import float_result

Shapes = Sequence[Shape | None]


def _axes(node: Node, sizes: Shape, kernel: Shape) -> list[Axis]:
    padding = attr(node, "padding", "SAME")
    return [
        axis(
            padding,
            size,
            k,
            attr(node, f"stride_{name}", 1),
            attr(node, f"dilation_{name}_factor", 1),
            (0, 0),
            node.where,
        )
        for name, size, k in zip("dhw", sizes, kernel, strict=True)
    ]


def _check(node: Node, source: Shape, weights: Shape, channels: int) -> None:
    if len(source) != 5 or len(weights) != 5 or source[4] != channels:
        raise ShapeError(f"{node.where}: an input of shape {source} does not fit a filter of shape {weights}")


def infer_conv_3d(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    _check(node, source, weights, weights[3] if len(weights) == 5 else -1)
    return [(source[0], *(a.out for a in _axes(node, source[1:4], weights[:3])), weights[4])]


def _reach(at: Axis, step: int, count: int) -> slice:
    """The elements that tap `step` of a window meets, over `count` positions."""
    start = step * at.dilation
    return slice(start, start + (count - 1) * at.stride + 1, at.stride)


def conv_3d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: input (batch, depth, height, width, channels), filter (depth, height, width, inputs, outputs),
    bias."""
    x, weights = arrays[0], arrays[1]
    bias = arrays[2] if len(arrays) > 2 else None
    assert x is not None
    assert weights is not None
    axes = _axes(node, x.shape[1:4], weights.shape[:3])
    source = np.pad(x.astype(np.float64), ((0, 0), *((a.before, a.after) for a in axes), (0, 0)))
    total = np.zeros((len(x), *(a.out for a in axes), weights.shape[4]))
    for tap in product(*(range(a.kernel) for a in axes)):
        places = tuple(_reach(a, step, a.out) for a, step in zip(axes, tap, strict=True))
        total += source[(slice(None), *places)] @ weights[tap].astype(np.float64)
    return [float_result(node, total if bias is None else total + bias)]


def infer_conv_3d_transpose(node: Node, shapes: Shapes, value: Value) -> Shapes:
    wanted, weights = value(0), shapes[1]
    if wanted is None:
        return [None]
    shape = tuple(int(v) for v in wanted)
    if len(shape) != 5 or (weights is not None and (len(weights) != 5 or weights[3] != shape[4])):
        raise ShapeError(f"{node.where}: output shape {shape} does not fit a filter of shape {weights}")
    return [shape]


def conv_3d_transpose(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: output shape, filter (depth, height, width, outputs, inputs), input, bias."""
    wanted, weights, x = arrays[0], arrays[1], arrays[2]
    bias = arrays[3] if len(arrays) > 3 else None
    assert wanted is not None
    assert weights is not None
    assert x is not None
    _check(node, x.shape, weights.shape, weights.shape[4])
    size = tuple(int(v) for v in wanted)
    axes = _axes(node, size[1:4], weights.shape[:3])
    room = [
        max((n - 1) * a.stride + (a.kernel - 1) * a.dilation + 1, a.before + a.size)
        for n, a in zip(x.shape[1:4], axes, strict=True)
    ]
    full = np.zeros((len(x), *room, weights.shape[3]))
    for tap in product(*(range(a.kernel) for a in axes)):
        places = tuple(_reach(a, step, n) for a, step, n in zip(axes, tap, x.shape[1:4], strict=True))
        full[(slice(None), *places)] += x.astype(np.float64) @ weights[tap].astype(np.float64).T
    total = full[(slice(None), *(slice(a.before, a.before + a.size) for a in axes))]
    return [float_result(node, total if bias is None else total + bias)]


def _macs(_node: Node, ins: Shapes, outs: Shapes) -> int:
    weights, result = ins[1], outs[0]
    assert weights is not None
    assert result is not None
    return prod(result) * prod(weights[:4])


def _transpose_macs(_node: Node, ins: Shapes, _outs: Shapes) -> int:
    weights, source = ins[1], ins[2]
    assert weights is not None
    assert source is not None
    return prod(source) * prod(weights[:4])


_ATTRS = {
    "padding": "SAME",
    "stride_d": 0,
    "stride_h": 0,
    "stride_w": 0,
    "fused_activation_function": "NONE",
    "dilation_d_factor": 1,
    "dilation_h_factor": 1,
    "dilation_w_factor": 1,
}

OPS: tuple[OpSpec, ...] = (
    OpSpec("conv_3d", infer_conv_3d, conv_3d, _ATTRS, (2, 3), macs=_macs),
    OpSpec(
        "conv_3d_transpose", infer_conv_3d_transpose, conv_3d_transpose, _ATTRS, (3, 4), macs=_transpose_macs
    ),
)
