"""Resizing of images: source rows, columns and weights are computed here once, in TFLite's float32
arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node
from edged.graph.ops.spec import attr
from edged_backends.lower.strides import item_bytes
from edged_backends.lowering import Lowering


def _flags(node: Node) -> tuple[bool, bool]:
    return bool(attr(node, "align_corners", False)), bool(attr(node, "half_pixel_centers", False))


def nearest(size: int, out: int, align: bool, half: bool) -> Array:
    """Source index of every output index (GetNearestNeighbor of resize_nearest_neighbor.h)."""
    scale = (
        np.float32(size - 1) / np.float32(out - 1)
        if align and out > 1
        else np.float32(size) / np.float32(out)
    )
    offset = np.float32(0.5 if half else 0.0)
    at = (np.arange(out, dtype=np.float32) + offset) * np.float32(scale)
    whole = np.floor(at + np.float32(0.5)) if align else np.floor(at)
    picked = np.minimum(whole.astype(np.int32), size - 1)
    return np.asarray(np.maximum(picked, 0))


def bilinear(size: int, out: int, align: bool, half: bool) -> tuple[Array, Array, Array]:
    """(lower index, upper index, weight of the upper) of every output index (ComputeInterpolationValues)."""
    scale = (
        np.float32(size - 1) / np.float32(out - 1)
        if align and out > 1
        else np.float32(size) / np.float32(out)
    )
    index = np.arange(out, dtype=np.float32)
    at = (index + np.float32(0.5)) * scale - np.float32(0.5) if half else index * scale
    floor = np.floor(at)
    low = np.maximum(floor, 0).astype(np.int32)
    high = np.minimum(np.ceil(at), size - 1).astype(np.int32)
    return np.minimum(low, size - 1), high, (at - low.astype(np.float32)).astype(np.float32)


def bilinear_integer(size: int, out: int, align: bool, half: bool) -> tuple[Array, Array, Array]:
    """The same with positions in units of 1/1024 (ComputeInterpolationValuesInteger)."""
    scale = (1024 * size + out // 2) // out
    if align and out > 1:
        scale = (1024 * (size - 1) + (out - 1) // 2) // (out - 1)
    index = np.arange(out, dtype=np.int64)
    at = index * scale + scale // 2 - 512 if half else index * scale
    low = np.maximum(_toward_zero(at), 0)
    high = np.minimum(_toward_zero(at + 1023), size - 1)
    return low.astype(np.int32), high.astype(np.int32), (at - 1024 * low).astype(np.int32)


def _toward_zero(at: Array) -> Array:
    """C's division by 1024."""
    return np.asarray(np.where(at < 0, -(-at // 1024), at // 1024))


def lower_nearest(lowering: Lowering, node: Node) -> None:
    source, output = node.input(0), node.outputs[0]
    batch, in_h, in_w, channels = source.shape
    _, out_h, out_w, _ = output.shape
    params = {
        "in_h": in_h,
        "in_w": in_w,
        "out_h": out_h,
        "out_w": out_w,
        "pixel": channels * item_bytes(source),
    }
    indices = [nearest(i, o, *_flags(node)) for i, o in ((in_h, out_h), (in_w, out_w))]
    refs = [lowering.ref(output), lowering.ref(source), *(lowering.const(i) for i in indices)]
    lowering.step("resize_nearest", params, refs, units=batch * out_h)


def lower_bilinear(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    dtype = lowering.internal(source).dtype
    if dtype not in (DType.FLOAT32, DType.INT8):
        return f"bilinear resizing of {source.dtype}"
    weights, op = (bilinear, "f32") if dtype is DType.FLOAT32 else (bilinear_integer, "s8")
    if lowering.is_shifted(source):
        weights, op = bilinear, "u8"
    batch, in_h, in_w, channels = source.shape
    _, out_h, out_w, _ = output.shape
    params = {"in_h": in_h, "in_w": in_w, "out_h": out_h, "out_w": out_w, "channels": channels}
    made = [a for i, o in ((in_h, out_h), (in_w, out_w)) for a in weights(i, o, *_flags(node))]
    refs = [lowering.ref(output), lowering.ref(source), *(lowering.const(a) for a in made)]
    lowering.step(f"resize_bilinear_{op}", params, refs, units=batch * out_h, work=4 * output.elements)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "resize_nearest_neighbor": lower_nearest, "resize_bilinear": lower_bilinear,
}  # fmt: skip
