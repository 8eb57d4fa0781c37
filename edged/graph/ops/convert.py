"""QUANTIZE (from float, and between integers), DEQUANTIZE, FAKE_QUANT, CAST, BITCAST, DENSIFY.

RANDOM_UNIFORM, RANDOM_STANDARD_NORMAL and MULTINOMIAL have no meaning here: their bytes are those of one
library's generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ModelError, ShapeError, UnsupportedError
from edged.graph.arrays import numpy_dtype
from edged.graph.model import DType, Node, Quantization, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.broadcast import infer_same, operand, rescaled, saturate, scale_of, zero_point_of
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr
from edged.graph.sparse import dense

Shapes = Sequence[Shape | None]

_RANGES: dict[DType, tuple[int, int]] = {
    DType.INT2: (-2, 1), DType.INT4: (-8, 7), DType.UINT4: (0, 15),
    **{d: fp.integer_range(str(d)) for d in (DType.INT8, DType.UINT8, DType.INT16, DType.INT32)},
}  # fmt: skip
"""What QUANTIZE saturates to."""


def _channels(node: Node, quantization: Quantization, shape: Shape) -> tuple[Array, Array]:
    """(float32 scales, int64 zero points) that broadcast against `shape`, blocks along the axis expanded."""
    if quantization.block_size:
        raise UnsupportedError(f"{node.where}: {node.op} of blockwise quantised tensors has no meaning here")
    scales = np.array(quantization.scales, np.float32)
    points = np.array(quantization.zero_points or (0,), np.int64)
    if scales.size == 1:
        return scales[0], points[0]
    axis = quantization.axis
    if not 0 <= axis < len(shape) or shape[axis] != scales.size:
        raise ShapeError(f"{node.where}: {scales.size} scales along axis {axis} do not fit shape {shape}")
    column = [1] * len(shape)
    column[axis] = scales.size
    return scales.reshape(column), np.broadcast_to(points, scales.shape).reshape(column)


def _from_float(node: Node, x: Array) -> Array:
    """round(x / scale) + zero point, halves away from zero, divided in float32; NaN gives the zero point."""
    result = node.outputs[0]
    assert result.quantization is not None
    scales, points = _channels(node, result.quantization, x.shape)
    with np.errstate(all="ignore"):
        steps = fp.round_half_away(x.astype(np.float32) / scales).astype(np.float64)
    low, high = _RANGES[result.dtype]
    values = np.clip(np.nan_to_num(steps + points, nan=0.0), low, high)
    return np.asarray(values).astype(numpy_dtype(result.dtype))


def quantize(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Floats with per-tensor or per-channel scales; integers by one fixed-point multiplication of input /
    output scale.

    LiteRT's optimised kernels between 8-bit types round halves upwards in whole blocks of 16 elements; this
    rounds as its reference and TFLite Micro do.
    """
    x, result = operand(arrays, 0), node.outputs[0]
    if result.quantization is None or not result.quantization.scales or result.dtype not in _RANGES:
        raise ModelError(
            f"{node.where}: the output of QUANTIZE is {result.dtype} without a quantisation it can have"
        )
    if x.dtype.kind == "f":
        return [_from_float(node, x)]
    source = node.input(0)
    if source.quantization is None or not source.quantization.scales:
        raise ModelError(f"{node.where}: QUANTIZE of {source.dtype} needs the input's quantisation")
    values = x.astype(np.int64) - zero_point_of(source)
    real = float(scale_of(source)) / float(scale_of(result))
    return [saturate(rescaled(values, real) + zero_point_of(result), numpy_dtype(result.dtype))]


def dequantize(node: Node, arrays: Arrays) -> Sequence[Array]:
    """scale * (x - zero point), the product in double precision; float16 and bfloat16 only widen."""
    x, source = operand(arrays, 0), node.input(0)
    kind = numpy_dtype(node.outputs[0].dtype)
    if x.dtype.kind == "f":
        return [x.astype(kind)]
    if source.quantization is None or not source.quantization.scales:
        raise ModelError(f"{node.where}: DEQUANTIZE of {source.dtype} needs the input's quantisation")
    scales, points = _channels(node, source.quantization, x.shape)
    return [np.asarray((x.astype(np.int64) - points) * scales.astype(np.float64)).astype(kind)]


def fake_quant(node: Node, arrays: Arrays) -> Sequence[Array]:
    """float32 rounded to `num_bits` steps between `min` and `max`, moved so that 0 is one of them
    (also where it lies outside: LiteRT moves the nearer end there)."""
    if attr(node, "narrow_range", False):
        raise UnsupportedError(f"{node.where}: FAKE_QUANT with narrow_range has no meaning at run time")
    f32 = np.float32
    low, high = f32(attr(node, "min", 0.0)), f32(attr(node, "max", 0.0))
    steps = f32((1 << int(attr(node, "num_bits", 0))) - 1)
    if not (low < high and steps > 0):
        raise ModelError(f"{node.where}: FAKE_QUANT from {low} to {high} in {steps} steps is no range")
    scale = (high - low) / steps
    point = f32(np.clip(fp.round_half_away(np.asarray(f32(0) - low / scale)), f32(0), steps))
    nudged_low, nudged_high = (f32(0) - point) * scale, (steps - point) * scale
    x = operand(arrays, 0).astype(f32)
    shifted = np.minimum(nudged_high, np.maximum(nudged_low, x)) - nudged_low
    return [fp.round_half_away(shifted * (f32(1) / scale)) * scale + nudged_low]


def cast(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Floats to integers towards zero, saturated, NaN to the greatest value; integers to narrower ones by
    their low bits; everything but zero to bool is True; complex loses its imaginary part."""
    x, target = operand(arrays, 0), node.outputs[0].dtype
    kind = numpy_dtype(target)
    if x.dtype.kind == "c" and kind.kind != "c":
        x = x.real
    if target.is_sub_byte:
        low, high = _RANGES[target]
        return [np.asarray(np.clip(np.nan_to_num(x, nan=high), low, high)).astype(kind)]
    if x.dtype.kind == "f" and kind.kind in "iu":
        return [_float_to_integer(x, kind)]
    with np.errstate(all="ignore"):
        return [_to_bfloat16(x) if target is DType.BFLOAT16 else x.astype(kind)]


def _float_to_integer(x: Array, kind: np.dtype[np.generic]) -> Array:
    info = np.iinfo(str(kind))
    wide = np.trunc(x.astype(np.float64))
    above, below = ~(wide < float(info.max)), wide <= float(info.min)
    inside = np.where(above | below, 0.0, wide).astype(kind)
    return np.where(above, info.max, np.where(below, info.min, inside)).astype(kind)


def _to_bfloat16(x: Array) -> Array:
    """float32 values that bfloat16 can hold, halves to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    values = rounded.astype(np.uint32).view(np.float32)
    return np.where(np.isnan(x), np.float32(np.nan), values).reshape(x.shape)


def _bitcast_shape(node: Node, shape: Shape) -> Shape:
    """A narrower type gains a last dimension; a wider one loses it."""
    source, target = node.input(0).dtype.bits, node.outputs[0].dtype.bits
    if source == target:
        return shape
    if source > target:
        return (*shape, source // target)
    if not shape or shape[-1] * source != target:
        raise ShapeError(f"{node.where}: BITCAST of {shape} from {source} to {target} bits does not fit")
    return shape[:-1]


def infer_bitcast(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    return [None if shapes[0] is None else _bitcast_shape(node, shapes[0])]


def bitcast(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    shape = _bitcast_shape(node, x.shape)
    data = np.ascontiguousarray(x).reshape(-1)
    return [data.view(numpy_dtype(node.outputs[0].dtype)).reshape(shape)]


def infer_densify(node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    return [node.input(0).shape]


def densify(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The dense form of a sparse constant; its array holds the stored elements, or is dense already."""
    return [dense(node.input(0), operand(arrays, 0))]


OPS: tuple[OpSpec, ...] = (
    OpSpec("quantize", infer_same, quantize),
    OpSpec("dequantize", infer_same, dequantize),
    OpSpec(
        "fake_quant", infer_same, fake_quant, {"min": 0.0, "max": 0.0, "num_bits": 0, "narrow_range": False}
    ),
    OpSpec("cast", infer_same, cast, {"in_data_type": "FLOAT32", "out_data_type": "FLOAT32"}),
    OpSpec("bitcast", infer_bitcast, bitcast),
    OpSpec("densify", infer_densify, densify),
)
