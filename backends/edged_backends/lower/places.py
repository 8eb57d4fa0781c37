"""Pooling with places and back: MediaPipe's MaxPoolingWithArgmax2D and MaxUnpooling2D, LiteRT's unpooling."""

from __future__ import annotations

import struct
from collections.abc import Callable
from math import prod

import numpy as np

from edged.graph.model import DType, Node
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref

_OPTIONS = 20
"""Bytes of a TfLitePoolParams: padding, strides and filter sizes, width first."""


def _windows(node: Node) -> tuple[bool, tuple[int, int], tuple[int, int]] | None:
    """(padded, strides, kernel), height first."""
    if len(node.options) < _OPTIONS:
        return None
    padding, stride_w, stride_h, width, height = struct.unpack_from("<5i", node.options)
    if padding not in (1, 2) or min(stride_w, stride_h, width, height) < 1:
        return None
    return padding == 1, (stride_h, stride_w), (height, width)


def _before(size: int, out: int, kernel: int, stride: int) -> int:
    return max((out - 1) * stride + kernel - size, 0) // 2


def lower_pool_places(lowering: Lowering, node: Node) -> str | None:
    source, (output, places), windows = node.input(0), node.outputs, _windows(node)
    if windows is None or source.dtype is not DType.FLOAT32 or source.elements == 0:
        return f"pooling of {source.dtype} with places, or without its options"
    padded, strides, kernel = windows
    sizes, outs = source.shape[1:3], output.shape[1:3]
    each = zip(sizes, outs, kernel, strides, strict=True)
    pads = [_before(n, out, k, s) if padded else 0 for n, out, k, s in each]
    params = {
        "in_h": sizes[0], "in_w": sizes[1], "channels": source.shape[3], "out_h": outs[0], "out_w": outs[1],
        "kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": strides[0], "stride_w": strides[1],
        "pad_top": pads[0], "pad_left": pads[1], "inside": int(places.dtype is not DType.INT32),
    }  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(places), lowering.ref(source)]
    work = output.elements * kernel[0] * kernel[1]
    lowering.step("pool_places", params, refs, units=source.shape[0] * outs[0], writes=2, work=work)
    return None


def lower_unpool(lowering: Lowering, node: Node) -> str | None:
    """Every image by itself: zeros, then each value at its element."""
    source, places, output, windows = node.input(0), node.input(1), node.outputs[0], _windows(node)
    if windows is None or source.dtype is not DType.FLOAT32 or source.elements == 0:
        return f"unpooling of {source.dtype}, or without its options"
    index = lowering.ref(places)
    if places.dtype is not DType.INT32:
        index = _elements(lowering, node, windows[1], windows[2])
    images, room, rows = source.shape[0], prod(output.shape[1:]), prod(source.shape[1:])
    params = {"depth": 1, "size": 4, "wide": 0, "single": 0, "rows": rows, "n0": room}
    params.update(n1=1, n2=1, n3=1, n4=1)
    zero = lowering.const(np.zeros(4, np.uint8), "a zero")
    to, values = lowering.ref(output), lowering.ref(source)
    for i in range(images):
        own = [to.at(4 * room * i, 4 * room), *(r.at(4 * rows * i, 4 * rows) for r in (index, values))]
        lowering.step("sparse_to_dense", params, [*own, zero], units=1)
    return None


def _elements(lowering: Lowering, node: Node, strides: tuple[int, int], kernel: tuple[int, int]) -> Ref:
    """Places within windows as elements of the image."""
    places, sizes = node.input(1), node.outputs[0].shape[1:3]
    ins = places.shape[1:3]
    pads = [_before(size, n, k, s) for size, n, k, s in zip(sizes, ins, kernel, strides, strict=True)]
    params = {
        "in_h": ins[0], "in_w": ins[1], "channels": places.shape[3], "out_h": sizes[0], "out_w": sizes[1],
        "kernel_w": kernel[1], "stride_h": strides[0], "stride_w": strides[1],
        "pad_top": pads[0], "pad_left": pads[1],
    }  # fmt: skip
    made = lowering.temp(4 * places.elements)
    lowering.step("place_elements", params, [made, lowering.ref(places)], units=places.elements)
    return made


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "custom:MaxPoolingWithArgmax2D": lower_pool_places, "custom:MaxUnpooling2D": lower_unpool,
    "custom:LiteRtMaxUnpooling2D": lower_unpool,
}  # fmt: skip
