"""RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR: float32, uint8, int8, int16; align_corners and
half_pixel_centers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.move import ints, operand
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr

Shapes = Sequence[Shape | None]


def infer_resize(node: Node, shapes: Shapes, value: Value) -> Shapes:
    size, shape = ints(value(1)), shapes[0]
    if size is None or shape is None:
        return [None]
    if len(shape) != 4 or len(size) != 2 or min(size) < 1:
        raise ShapeError(f"{node.where}: cannot resize {shape} to {size}")
    return [(shape[0], size[0], size[1], shape[3])]


def _scale(node: Node, old: int, new: int) -> np.float32:
    """Input pixels per output pixel."""
    if attr(node, "align_corners", False) and new > 1:
        return np.float32(old - 1) / np.float32(new - 1)
    return np.float32(old) / np.float32(new)


def _nearest(node: Node, old: int, new: int) -> Array:
    """The input index of every output index, in float32 as TFLite's GetNearestNeighbor."""
    scale, half = _scale(node, old, new), attr(node, "half_pixel_centers", False)
    offset = np.float32(0.5) if half else np.float32(0)
    real = (np.arange(new, dtype=np.float32) + offset) * scale
    picked = np.floor(real + np.float32(0.5)) if attr(node, "align_corners", False) else np.floor(real)
    index: Array = np.minimum(picked.astype(np.int64), old - 1)
    return np.maximum(index, 0) if half else index


def resize_nearest_neighbor(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, size = operand(arrays, 0), ints(operand(arrays, 1)) or ()
    rows, cols = _nearest(node, x.shape[1], size[0]), _nearest(node, x.shape[2], size[1])
    return [x[:, rows[:, None], cols[None, :]]]


def _interpolation(node: Node, old: int, new: int) -> tuple[Array, Array, Array]:
    """(lower index, upper index, real position) for every output index, in float32."""
    scale, at = _scale(node, old, new), np.arange(new, dtype=np.float32)
    if attr(node, "half_pixel_centers", False):
        real = (at + np.float32(0.5)) * scale - np.float32(0.5)
    else:
        real = at * scale
    floor = np.floor(real)
    lower = np.maximum(floor.astype(np.int64), 0)
    upper = np.minimum(np.ceil(real).astype(np.int64), old - 1)
    return lower, upper, real


def _bilinear_float(node: Node, x: Array, size: Sequence[int]) -> Array:
    y0, y1, y = _interpolation(node, x.shape[1], size[0])
    x0, x1, c = _interpolation(node, x.shape[2], size[1])
    dy = (y - y0.astype(np.float32)).astype(np.float32)[:, None, None]
    dx = (c - x0.astype(np.float32)).astype(np.float32)[None, :, None]
    one = np.float32(1)
    at = x.astype(np.float32)
    return (
        at[:, y0][:, :, x0] * ((one - dy) * (one - dx))
        + at[:, y1][:, :, x0] * (dy * (one - dx))
        + at[:, y0][:, :, x1] * ((one - dy) * dx)
        + at[:, y1][:, :, x1] * (dy * dx)
    )


def _fixed(node: Node, old: int, new: int) -> tuple[Array, Array, Array]:
    """(lower, upper, position in 10 fractional bits), as reference_ops::ComputeInterpolationValuesInteger."""
    if attr(node, "align_corners", False) and new > 1:
        scale = ((1 << 10) * (old - 1) + (new - 1) // 2) // (new - 1)
    else:
        scale = ((1 << 10) * old + new // 2) // new
    at = np.arange(new, dtype=np.int64)
    scaled = at * scale
    if attr(node, "half_pixel_centers", False):
        scaled = at * scale + scale // 2 - (1 << 9)
    lower = np.maximum(np.sign(scaled) * (np.abs(scaled) >> 10), 0)
    upper = np.minimum(-(-scaled // (1 << 10)), old - 1)
    return lower, upper, scaled


def _bilinear_integer(node: Node, x: Array, size: Sequence[int]) -> Array:
    """int8 and int16 in 10-bit fixed point, halves away from zero (reference_ops::ResizeBilinearInteger)."""
    y0, y1, y = _fixed(node, x.shape[1], size[0])
    x0, x1, c = _fixed(node, x.shape[2], size[1])
    one = np.int64(1 << 10)
    dy, dx = (y - one * y0)[:, None, None], (c - one * x0)[None, :, None]
    at = x.astype(np.int64)
    total = (
        at[:, y0][:, :, x0] * (one - dy) * (one - dx)
        + at[:, y1][:, :, x0] * dy * (one - dx)
        + at[:, y0][:, :, x1] * (one - dy) * dx
        + at[:, y1][:, :, x1] * dy * dx
    )
    half = np.where(total > 0, 1 << 19, -(1 << 19))
    moved = total + half
    result: Array = (np.sign(moved) * (np.abs(moved) >> 20)).astype(x.dtype)
    return result


def resize_bilinear(node: Node, arrays: Arrays) -> Sequence[Array]:
    """uint8 goes through float32, rounded up from one half; where a result lies on that edge, LiteRT's
    contracted multiply-adds may fall to the other side of it (1 LSB). TFLite Micro has no uint8 here."""
    x, size = operand(arrays, 0), ints(operand(arrays, 1)) or ()
    if x.dtype in (np.int8, np.int16):
        return [_bilinear_integer(node, x, size)]
    result = _bilinear_float(node, x, size)
    if x.dtype == np.uint8:
        return [(result + np.float32(0.5)).astype(np.uint8)]
    return [result.astype(x.dtype)]


_ATTRS = {"align_corners": False, "half_pixel_centers": False}

OPS: tuple[OpSpec, ...] = (
    OpSpec("resize_bilinear", infer_resize, resize_bilinear, _ATTRS, (2, 2)),
    OpSpec("resize_nearest_neighbor", infer_resize, resize_nearest_neighbor, _ATTRS, (2, 2)),
)
