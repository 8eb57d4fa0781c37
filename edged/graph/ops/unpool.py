"""Custom pooling with places: MaxPoolingWithArgmax2D, MaxUnpooling2D, LiteRtMaxUnpooling2D; float32.

The dtype of the places tells their meaning: int32 (LiteRT's) counts elements of one unpooled image, and
float32 (MediaPipe's) elements of the window, plus 0.1. Options are a TfLitePoolParams. Sources:
mediapipe/util/tflite/operations/max_pool_argmax.cc and max_unpooling.cc, tflite/kernels/perception.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged.errors import ModelError, ShapeError
from edged.graph.model import DType, Node, Shape
from edged.graph.ops.geometry import Axis, axis, padded, patches
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value

Shapes = Sequence[Shape | None]
_PADDINGS = {1: "SAME", 2: "VALID"}


@dataclass(frozen=True, slots=True)
class _Options:
    padding: str
    strides: tuple[int, int]
    kernel: tuple[int, int]


def _options(node: Node) -> _Options:
    """(height, width) from a TfLitePoolParams: padding, strides and filter sizes, width first."""
    if len(node.options) < 20:
        raise ModelError(f"{node.where}: {len(node.options)} bytes of options, 20 are needed")
    padding, stride_w, stride_h, width, height = struct.unpack_from("<5i", node.options)
    if padding not in _PADDINGS or min(stride_w, stride_h, width, height) < 1:
        raise ModelError(f"{node.where}: the options have padding {padding} or sizes below 1")
    return _Options(_PADDINGS[padding], (stride_h, stride_w), (height, width))


def _pool_axes(node: Node, sizes: Shape) -> tuple[Axis, Axis]:
    o = _options(node)
    high, wide = (
        axis(o.padding, size, k, stride, 1, (0, 0), node.where)
        for size, k, stride in zip(sizes, o.kernel, o.strides, strict=True)
    )
    return high, wide


def infer_argmax(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if shapes[0] is None:
        return [None, None]
    if len(shapes[0]) != 4:
        raise ShapeError(f"{node.where}: the input must have 4 dimensions, it has shape {shapes[0]}")
    high, wide = _pool_axes(node, shapes[0][1:3])
    result = (shapes[0][0], high.out, wide.out, shapes[0][3])
    return [result, result]


def max_pooling_with_argmax_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The greatest element of each window (the first of equals), and its place."""
    x = arrays[0]
    assert x is not None
    high, wide = _pool_axes(node, x.shape[1:3])
    view = patches(padded(x, high, wide, -np.inf), high, wide)
    flat = view.reshape(*view.shape[:3], high.kernel * wide.kernel, x.shape[3])
    place = flat.argmax(axis=3)
    values = np.take_along_axis(flat, place[:, :, :, None], axis=3)[:, :, :, 0]
    if node.outputs[1].dtype is not DType.INT32:
        return [values, (place + np.float32(0.1)).astype(np.float32)]
    rows = (np.arange(high.out) * high.stride - high.before)[:, None, None] + place // wide.kernel
    cols = (np.arange(wide.out) * wide.stride - wide.before)[:, None] + place % wide.kernel
    elements = (rows * x.shape[2] + cols) * x.shape[3] + np.arange(x.shape[3])
    return [values, elements.astype(np.int32)]


def infer_unpool(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, places = shapes[0], shapes[1]
    if source is None:
        return [None]
    if len(source) != 4 or (places is not None and places != source):
        raise ShapeError(f"{node.where}: input {source} and places {places} must be two equal images")
    o = _options(node)
    if node.input(1).dtype is not DType.INT32:
        sizes = tuple(n * k for n, k in zip(source[1:3], o.kernel, strict=True))
    elif o.padding == "SAME":
        sizes = tuple(n * s for n, s in zip(source[1:3], o.strides, strict=True))
    else:
        steps = zip(source[1:3], o.strides, o.kernel, strict=True)
        sizes = tuple((n - 1) * s + k for n, s, k in steps)
    return [(source[0], *sizes, source[3])]


def max_unpooling_2d(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Each value at its place, zeros elsewhere; later values win, places outside the image are left out."""
    x, places = arrays[0], arrays[1]
    assert x is not None
    assert places is not None
    (shape,) = infer_unpool(node, [x.shape, places.shape], lambda _i: None)
    assert shape is not None
    result = np.zeros((len(x), int(np.prod(shape[1:]))), np.float32)
    elements = places.astype(np.int64) if places.dtype.kind == "i" else _elements(node, places, shape)
    inside = (elements >= 0) & (elements < result.shape[1])
    batch = np.broadcast_to(np.arange(len(x)).reshape(-1, 1, 1, 1), x.shape)
    result[batch[inside], elements[inside]] = x[inside]
    return [result.reshape(shape)]


def _elements(node: Node, places: Array, shape: Shape) -> Array:
    """Places within windows -> elements of the image; -1 for those outside it."""
    o, place = _options(node), places.astype(np.int64)
    high, wide = (
        max((n - 1) * s + k - size, 0) // 2
        for n, s, k, size in zip(places.shape[1:3], o.strides, o.kernel, shape[1:3], strict=True)
    )
    rows = (np.arange(places.shape[1]) * o.strides[0] - high)[:, None, None] + place // o.kernel[1]
    cols = (np.arange(places.shape[2]) * o.strides[1] - wide)[:, None] + place % o.kernel[1]
    inside = (rows >= 0) & (rows < shape[1]) & (cols >= 0) & (cols < shape[2])
    return np.where(inside, (rows * shape[2] + cols) * shape[3] + np.arange(shape[3]), -1)


OPS: tuple[OpSpec, ...] = (
    OpSpec("custom:MaxPoolingWithArgmax2D", infer_argmax, max_pooling_with_argmax_2d, outputs=(2, 2)),
    OpSpec("custom:MaxUnpooling2D", infer_unpool, max_unpooling_2d, inputs=(2, 2)),
    OpSpec("custom:LiteRtMaxUnpooling2D", infer_unpool, max_unpooling_2d, inputs=(2, 2)),
)
