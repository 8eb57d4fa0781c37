"""AVERAGE_POOL_2D, MAX_POOL_2D, L2_POOL_2D: float32; the first two uint8, int8 and int16 as well.

The average counts real elements only; in integers it rounds halves away from zero. The output has the input's
quantisation, as the format demands.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

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
    """Real elements in each window: (out_h, out_w, 1), at least 1."""

    def along(axis: Axis) -> Array:
        start = np.arange(axis.out) * axis.stride - axis.before
        return np.minimum(start + axis.kernel, axis.size) - np.maximum(start, 0)

    counts: Array = np.maximum(along(high)[:, None] * along(wide)[None, :], 1)[..., None]
    return counts


def _sums(x: Array, high: Axis, wide: Axis) -> Array:
    """Sums over each window, one tap at a time: much faster than a reduction over two strided axes."""
    view = patches(padded(x, high, wide), high, wide)
    total = np.zeros((len(x), high.out, wide.out, x.shape[3]), x.dtype)
    for row in range(high.kernel):
        for col in range(wide.kernel):
            total += view[:, :, :, row, col]
    return total


def _clamped(node: Node, values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Fused activation in the stored domain."""
    result = node.outputs[0]
    activation = attr(node, "fused_activation_function", "NONE")
    if not quantised(result):
        return fp.activate(values.astype(dtype), activation)
    assert result.quantization is not None
    low, high = fp.activation_range(
        activation, result.quantization.scale, result.quantization.zero_point, str(dtype)
    )
    return np.clip(values, low, high).astype(dtype)


def max_pool_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The greatest element of each window; padding never wins."""
    x = arrays[0]
    assert x is not None
    high, wide = _window(node, x.shape)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    view = patches(padded(x, high, wide, lowest), high, wide)
    best = view[:, :, :, 0, 0]
    for row in range(high.kernel):
        for col in range(wide.kernel):
            best = np.maximum(best, view[:, :, :, row, col])
    return [_clamped(node, best, x.dtype)]


def average_pool_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The mean of each window's real elements."""
    x = arrays[0]
    assert x is not None
    high, wide = _window(node, x.shape)
    count = _counts(high, wide)
    if x.dtype.kind == "f":
        return [_clamped(node, _sums(x.astype(np.float64), high, wide) / count, x.dtype)]
    total = _sums(x.astype(np.int64), high, wide)
    quotient = (np.abs(total) + count // 2) // count
    return [_clamped(node, np.where(total < 0, -quotient, quotient), x.dtype)]


def l2_pool_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Square root of the mean of the squares of each window's real elements."""
    x = arrays[0]
    assert x is not None
    high, wide = _window(node, x.shape)
    squares = _sums(x.astype(np.float64) ** 2, high, wide)
    return [_clamped(node, np.sqrt(squares / _counts(high, wide)), x.dtype)]


def _macs(node: Node, _ins: Shapes, outs: Shapes) -> int:
    result = outs[0]
    assert result is not None
    return prod(result) * int(attr(node, "filter_height", 0)) * int(attr(node, "filter_width", 0))


_ATTRS = {
    "padding": "SAME",
    "stride_w": 0,
    "stride_h": 0,
    "filter_width": 0,
    "filter_height": 0,
    "fused_activation_function": "NONE",
}

OPS: tuple[OpSpec, ...] = (
    OpSpec("average_pool_2d", infer_pool, average_pool_2d, _ATTRS, macs=_macs),
    OpSpec("max_pool_2d", infer_pool, max_pool_2d, _ATTRS),
    OpSpec("l2_pool_2d", infer_pool, l2_pool_2d, _ATTRS, macs=_macs),
)
