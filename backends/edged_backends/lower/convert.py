"""Quantise, dequantise, requantise, cast, bitcast."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.fixedpoint import round_half_away
from edged.graph.ops.spec import attr, quantised
from edged_backends.lower.scale import LIMITS, multiplier
from edged_backends.lower.table import lut
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref

_SUFFIX = {DType.INT8: "s8", DType.INT16: "s16", DType.INT32: "s32"}
_CAST = {
    DType.INT8: ("s8", 0), DType.UINT8: ("u8", 1), DType.INT16: ("s16", 2), DType.UINT16: ("u16", 3),
    DType.INT32: ("s32", 4), DType.UINT32: ("u32", 5), DType.INT64: ("s64", 6), DType.FLOAT32: ("f32", 7),
    DType.FLOAT64: ("f64", 8), DType.BOOL: ("bool", 9),
}  # fmt: skip
"""Element type -> (suffix of the cast kernel from it, its number in convert/types.h)."""


def lower_quantize(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    to = lowering.internal(output)
    if len(to.scales) != 1 or to.dtype not in _SUFFIX:
        return f"quantising to {to.dtype} with {len(to.scales)} scales"
    if source.dtype is DType.FLOAT32:
        low, high = LIMITS[to.dtype]
        params = {"scale": to.scale, "zero": to.zero_point, "low": low, "high": high}
        refs = [lowering.ref(output), lowering.ref(source)]
        lowering.step(f"quantise_{_SUFFIX[to.dtype]}", params, refs, units=output.elements)
        return None
    return _requantise(lowering, node, source, output)


def _requantise(lowering: Lowering, node: Node, source: Tensor, output: Tensor) -> str | None:
    if source.dtype.bits == output.dtype.bits == 8:
        lut(lowering, node, why="requantise by table")
        return None
    mine, to = lowering.internal(source), lowering.internal(output)
    if len(mine.scales) != 1 or mine.dtype not in _SUFFIX:
        return f"requantising from {mine.dtype} with {len(mine.scales)} scales"
    m, shift = multiplier(float(np.float32(mine.scale)) / float(np.float32(to.scale)))
    low, high = LIMITS[to.dtype]
    params = {
        "zero_in": mine.zero_point, "multiplier": m, "shift": shift, "zero_out": to.zero_point, "low": low,
        "high": high,
    }  # fmt: skip
    op = f"requantise_{_SUFFIX[mine.dtype]}_{_SUFFIX[to.dtype]}"
    lowering.step(op, params, [lowering.ref(output), lowering.ref(source)], units=output.elements)
    return None


def lower_dequantize(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    mine = lowering.internal(source)
    refs = [lowering.ref(output), lowering.ref(source)]
    if source.dtype is DType.FLOAT16:
        lowering.step("cast_f16", {"to": _CAST[DType.FLOAT32][1]}, refs, units=output.elements)
    elif len(mine.scales) == 1 and mine.dtype in _SUFFIX:
        params = {"scale": mine.scale, "zero": mine.zero_point}
        lowering.step(f"dequantise_{_SUFFIX[mine.dtype]}", params, refs, units=output.elements)
    elif mine.dtype is DType.INT8 and mine.scales:
        zeros = mine.zero_points * (len(mine.scales) if len(mine.zero_points) == 1 else 1)
        refs += [lowering.const(np.array(mine.scales, np.float32)), lowering.const(np.array(zeros, np.int32))]
        params = {"channels": len(mine.scales), "inner": prod(source.shape[mine.axis + 1 :])}
        lowering.step("dequantise_channels_s8", params, refs, units=output.elements)
    else:
        return f"dequantising {mine.dtype} with {len(mine.scales)} scales"
    return None


def lower_cast(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if output.dtype not in _CAST or source.dtype not in {*_CAST, DType.FLOAT16}:
        return f"no cast from {source.dtype} to {output.dtype}"
    result, given, op = lowering.ref(output), _plain(lowering, source), "cast_f32"
    if source.dtype is not DType.FLOAT16:
        op = f"cast_{_CAST[source.dtype][0]}"
    else:
        wide = result if output.dtype is DType.FLOAT32 else lowering.temp(4 * source.elements)
        lowering.step("cast_f16", {"to": _CAST[DType.FLOAT32][1]}, [wide, given], units=output.elements)
        given = wide
    if given is not result:
        lowering.step(op, {"to": _CAST[output.dtype][1]}, [result, given], units=output.elements)
    if lowering.is_shifted(output):
        lowering.step("xor80", {}, [result, result], units=output.elements, why="as int8")
    return None


def _plain(lowering: Lowering, tensor: Tensor) -> Ref:
    """The tensor's bytes as the model sees them: a uint8 that is int8 inside the program is turned back."""
    ref = lowering.ref(tensor)
    if not lowering.is_shifted(tensor):
        return ref
    turned = lowering.temp(tensor.nbytes)
    lowering.step("xor80", {}, [turned, ref], units=tensor.nbytes, why="as uint8")
    return turned


def lower_bitcast(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if quantised(source) != quantised(output):
        return "a bitcast between quantised and plain"
    lowering.alias(output, source)
    return None


def lower_fake_quant(lowering: Lowering, node: Node) -> str | None:
    """The range is moved so that 0 is one of its steps (NudgeQuantizationRange, in float32)."""
    f32 = np.float32
    low, high = f32(attr(node, "min", 0.0)), f32(attr(node, "max", 0.0))
    bits = int(attr(node, "num_bits", 0))
    if attr(node, "narrow_range", False) or not (low < high and 0 < bits <= 16):
        return f"a fake quantisation from {low} to {high} in {bits} bits"
    steps = f32((1 << bits) - 1)
    scale = (high - low) / steps
    point = f32(np.clip(round_half_away(np.asarray(f32(0) - low / scale)), f32(0), steps))
    params = {
        "low": float((f32(0) - point) * scale), "high": float((steps - point) * scale),
        "scale": float(scale), "inverse": float(f32(1) / scale),
    }  # fmt: skip
    output = node.outputs[0]
    refs = [lowering.ref(output), lowering.ref(node.input(0))]
    lowering.step("fake_quant", params, refs, units=output.elements, inplace=1)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "quantize": lower_quantize, "dequantize": lower_dequantize, "cast": lower_cast, "bitcast": lower_bitcast,
    "fake_quant": lower_fake_quant,
}  # fmt: skip
