"""Windows over images: padding, output sizes, patches. NHWC; height before width everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.spec import attr

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of a sliding window: `before` and `after` are padding, `out` the number of positions."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    out: int


def axis(
    padding: str, size: int, kernel: int, stride: int, dilation: int, explicit: tuple[int, int], where: str
) -> Axis:
    """SAME and VALID as TFLite's ComputeOutSize and ComputePaddingWithOffset have them; EXPLICIT is edged's
    own, from fused PADs."""
    if kernel < 1 or stride < 1 or dilation < 1:
        raise ShapeError(
            f"{where}: kernel {kernel}, stride {stride} and dilation {dilation} must all be at least 1"
        )
    reach = (kernel - 1) * dilation + 1
    if padding == "EXPLICIT":
        before, after = explicit
        out = (size + before + after - reach) // stride + 1
        return Axis(size, kernel, stride, dilation, before, after, max(out, 0))
    out = -(-size // stride) if padding == "SAME" else -((reach - 1 - size) // stride)
    total = max((out - 1) * stride + reach - size, 0)
    return Axis(size, kernel, stride, dilation, total // 2, total - total // 2, max(out, 0))


def window(node: Node, shape: Shape, kernel: tuple[int, int]) -> tuple[Axis, Axis]:
    """(height, width) of a node's window over an NHWC input."""
    if len(shape) != 4:
        raise ShapeError(f"{node.where}: the input must have 4 dimensions, it has shape {shape}")
    padding = attr(node, "padding", "SAME")
    top, bottom, left, right = attr(node, "explicit_padding", (0, 0, 0, 0))
    stride, dilation = (
        (attr(node, "stride_h", 1), attr(node, "stride_w", 1)),
        (
            attr(node, "dilation_h_factor", 1),
            attr(node, "dilation_w_factor", 1),
        ),
    )
    high = axis(padding, shape[1], kernel[0], stride[0], dilation[0], (top, bottom), node.where)
    wide = axis(padding, shape[2], kernel[1], stride[1], dilation[1], (left, right), node.where)
    return high, wide


def padded(x: Array, high: Axis, wide: Axis, value: float = 0) -> Array:
    """`x` with the window's padding around it."""
    pads = ((0, 0), (high.before, max(high.after, 0)), (wide.before, max(wide.after, 0)), (0, 0))
    return np.pad(x, pads, constant_values=value) if any(a or b for a, b in pads) else x


def patches(x: Array, high: Axis, wide: Axis) -> Array:
    """A view (N, out_h, out_w, kernel_h, kernel_w, C) of an already padded array."""
    n, row, col, channel = x.strides
    shape = (x.shape[0], high.out, wide.out, high.kernel, wide.kernel, x.shape[3])
    strides = (n, row * high.stride, col * wide.stride, row * high.dilation, col * wide.dilation, channel)
    need_rows = (high.out - 1) * high.stride + (high.kernel - 1) * high.dilation + 1
    need_cols = (wide.out - 1) * wide.stride + (wide.kernel - 1) * wide.dilation + 1
    assert need_rows <= x.shape[1] or not high.out
    assert need_cols <= x.shape[2] or not wide.out
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)
