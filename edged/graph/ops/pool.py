"""AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D: float32, uint8, int8, int16. The average counts real elements
only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.graph.model import Node, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.geometry import Axis, padded, patches, window
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr, quantised

Shapes = Sequence[Shape | None]


def _window(node: Node, shape: Shape) -> tuple[Axis, Axis]:
    return window(node, shape, (attr(node, "filter_height", 0), attr(node, "filter_width", 0)))


def infer_pool(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if shapes[0] is None:
        return [None]
    high, wide = _window(node, shapes[0])
    return [(shapes[0][0], high.out, wide.out, shapes[0][3])]


def _counts(high: Axis, wide: Axis) -> Array:
    """Real elements in each window: (out_h, out_w, 1)."""

    def along(axis: Axis) -> Array:
        start = np.arange(axis.out) * axis.stride - axis.before
        return np.minimum(start + axis.kernel, axis.size) - np.maximum(start, 0)

    return (along(high)[:, None] * along(wide)[None, :])[..., None]


def _clamped(node: Node, values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Fused activation in the stored domain; the output has the input's quantisation."""
    result = node.outputs[0]
    activation = attr(node, "fused_activation_function", "NONE")
    if not quantised(result):
        return fp.activate(values, activation).astype(dtype)
    assert result.quantization is not None
    low, high = fp.activation_range(
        activation, result.quantization.scale, result.quantization.zero_point, str(dtype)
    )
    return np.clip(values, low, high).astype(dtype)


def max_pool_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = arrays[0]
    assert x is not None
    high, wide = _window(node, x.shape)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    view = patches(np.ascontiguousarray(padded(x, high, wide, lowest)), high, wide)
    return [_clamped(node, view.max(axis=(3, 4)), x.dtype)]


def average_pool_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Integers: the sum over the count, halves away from zero (uint8: upwards), as TFLite's pooling
    kernels."""
    x = arrays[0]
    assert x is not None
    high, wide = _window(node, x.shape)
    kind = np.float64 if x.dtype.kind == "f" else np.int64
    view = patches(np.ascontiguousarray(padded(x.astype(kind), high, wide)), high, wide)
    total, count = view.sum(axis=(3, 4)), _counts(high, wide)
    if kind is np.float64:
        return [_clamped(node, total / count, x.dtype)]
    half = count // 2
    away = np.where(total > 0, total + half, total - half)
    quotient = np.abs(away) // count
    return [_clamped(node, np.where(away < 0, -quotient, quotient), x.dtype)]


def l2_pool_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Square root of the mean of squares over real elements."""
    x = arrays[0]
    assert x is not None
    high, wide = _window(node, x.shape)
    view = patches(np.ascontiguousarray(padded(x.astype(np.float64) ** 2, high, wide)), high, wide)
    return [_clamped(node, np.sqrt(view.sum(axis=(3, 4)) / _counts(high, wide)), x.dtype)]


_ATTRS = {
    "padding": "SAME",
    "stride_w": 0,
    "stride_h": 0,
    "filter_width": 0,
    "filter_height": 0,
    "fused_activation_function": "NONE",
}

OPS: tuple[OpSpec, ...] = (
    OpSpec("average_pool_2d", infer_pool, average_pool_2d, _ATTRS),
    OpSpec("max_pool_2d", infer_pool, max_pool_2d, _ATTRS),
    OpSpec("l2_pool_2d", infer_pool, l2_pool_2d, _ATTRS),
)
