"""Activations as operators of their own: the RELU family, LEAKY_RELU, PRELU, ELU, GELU, HARD_SWISH, LOGISTIC,
TANH.

float32 everywhere; quantised forms for int8, uint8 and int16 where TFLite has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops import fixedpoint_functions as fx
from edged.graph.ops.broadcast import (
    broadcast_shapes,
    infer_same,
    operand,
    rescaled,
    saturate,
    scale_of,
    store,
    working_scale,
    zero_point_of,
)
from edged.graph.ops.lut import Function, apply_8, input_multiplier, input_radius, logistic_16, tanh_16
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, Value, attr, quantised
from edged.graph.ops.unary import Quantised, real_function, table_lookup

Shapes = Sequence[Shape | None]

_BOUNDS = {
    "relu": (0.0, math.inf),
    "relu6": (0.0, 6.0),
    "relu_n1_to_1": (-1.0, 1.0),
    "relu_0_to_1": (0.0, 1.0),
}


def _bound(real: float, node: Node) -> float:
    scaled = np.float32(real) / scale_of(node.outputs[0])
    return zero_point_of(node.outputs[0]) + float(fp.round_half_away(np.asarray(scaled)))


def relu_family(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Clamps; quantised ones rescale first (LiteRT divides the scales in float32, TFLite Micro's RELU in
    double).

    TFLite Micro's RELU6 takes it for granted that input and output share a quantisation, and does not
    rescale; this is LiteRT's, which agrees where they do.
    """
    x = operand(arrays, 0)
    low, high = _BOUNDS[node.op]
    if not quantised(node.input(0)):
        return [np.clip(x, np.asarray(low, x.dtype), np.asarray(high, x.dtype))]
    values = x.astype(np.int64) - zero_point_of(node.input(0))
    exact = np.dtype(np.uint8) if node.op != "relu" else x.dtype
    source, result = working_scale(node.input(0), exact), working_scale(node.outputs[0], exact)
    values = rescaled(values, float(source / result)) + zero_point_of(node.outputs[0])
    least, greatest = fp.integer_range(str(x.dtype))
    least = int(max(least, _bound(low, node)))
    greatest = greatest if high == math.inf else int(min(greatest, _bound(high, node)))
    return [np.clip(values, least, greatest).astype(x.dtype)]


def leaky_relu(node: Node, arrays: Arrays) -> Sequence[Array]:
    """x above zero, alpha * x below; both multipliers are float32 products of scales. alpha may be
    negative.
    """
    x, alpha = operand(arrays, 0), np.float32(attr(node, "alpha", 0.0))
    if not quantised(node.input(0)):
        return [np.where(x > 0, x, x * alpha.astype(x.dtype))]
    values = x.astype(np.int64) - zero_point_of(node.input(0))
    source, result = working_scale(node.input(0), x.dtype), working_scale(node.outputs[0], x.dtype)
    below = rescaled(values, float(source * np.abs(alpha) / result)) * (-1 if alpha < 0 else 1)
    scaled = np.where(values >= 0, rescaled(values, float(source / result)), below)
    return [store(node, scaled, x.dtype)]


def prelu(node: Node, arrays: Arrays) -> Sequence[Array]:
    """x above zero, alpha * x below, alpha broadcast to x.

    LiteRT multiplies the scales in float32, TFLite Micro in double; int8 and int16 follow TFLite Micro, uint8
    LiteRT.
    """
    x, alpha = operand(arrays, 0), operand(arrays, 1)
    if broadcast_shapes(node, [x.shape, alpha.shape]) != x.shape:
        raise ShapeError(
            f"{node.where}: alpha of shape {alpha.shape} does not broadcast to the input's {x.shape}"
        )
    if not quantised(node.input(0)):
        return [np.where(x >= 0, x, x * alpha)]
    tensors = node.input(0), node.input(1), node.outputs[0]
    source, slope, result = (working_scale(t, x.dtype) for t in tensors)
    values = x.astype(np.int64) - zero_point_of(node.input(0))
    slopes = alpha.astype(np.int64) - zero_point_of(node.input(1))
    below = rescaled(values * slopes, float(source * slope / result))
    return [store(node, np.where(values >= 0, rescaled(values, float(source / result)), below), x.dtype)]


def infer_prelu(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if (
        shapes[0] is not None
        and shapes[1] is not None
        and broadcast_shapes(node, [shapes[0], shapes[1]]) != shapes[0]
    ):
        raise ShapeError(
            f"{node.where}: alpha of shape {shapes[1]} does not broadcast to the input's {shapes[0]}"
        )
    return [shapes[0]]


def _elu(x: Array) -> Array:
    return np.where(x < 0, np.expm1(np.minimum(x, 0)), x)


def _erfc(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x)).astype(np.float64)


def _gelu(node: Node) -> Function:
    if attr(node, "approximate", False):
        return _gelu_by_tanh
    return _gelu_by_erfc


def _gelu_by_erfc(x: Array) -> Array:
    f32 = np.float32
    x = x.astype(f32)
    return f32(0.5) * x * _erfc(x * f32(-math.sqrt(0.5))).astype(f32)


def _gelu_by_tanh(x: Array) -> Array:
    """In float32 steps, as TFLite: 1 + tanh cancels to 0 far below zero, and its tables show it."""
    f32 = np.float32
    x = x.astype(f32)
    inner = f32(math.sqrt(2 / math.pi)) * (x + f32(0.044715) * x * x * x)
    return f32(0.5) * x * (f32(1) + np.tanh(inner.astype(np.float64)).astype(f32))


def _logistic(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))


def _hard_swish(x: Array) -> Array:
    return np.asarray(x * np.clip(x + 3, 0, 6) / 6)


def _sixteen(multiplier: int) -> int:
    """DownScaleInt32ToInt16Multiplier: the upper half, rounded, saturated."""
    return min((multiplier + (1 << 15)) >> 16, 32767)


def _shift_left_saturating(values: Array, amount: int) -> Array:
    return np.asarray(np.clip(values << amount, -32768, 32767))


def _reluish(high_resolution: Array, scale: np.float32) -> Array:
    """The input clamped to [-3, 3] and mapped to [0, 1], in 15 bits of fraction."""
    multiplier, exponent = fp.quantize_multiplier(float(scale / np.float32(3.0 / 32768.0)))
    values = high_resolution
    if exponent > 0:
        values = _shift_left_saturating(values, exponent - 1)
    values = fx.high_mul(values, _sixteen(multiplier), 16)
    if exponent > 0:
        values = _shift_left_saturating(values, 1)
    if exponent < 0:
        values = fp.rounding_divide_by_pot(values, -exponent)
    return np.asarray((values + (1 << 15)) >> 1)


def hard_swish_quantised(node: Node, x: Array) -> Array:
    """8 bits in 16-bit fixed point, as reference_ops::HardSwish. TFLite requires input scale / 128 <= output
    scale.
    """
    scale = np.float32(1 / 128) * scale_of(node.input(0))
    multiplier, exponent = fp.quantize_multiplier(float(scale / scale_of(node.outputs[0])))
    if exponent > 0:
        raise UnsupportedError(f"{node.where}: the output scale of HARD_SWISH is below 1/128 of the input's")
    values = (x.astype(np.int64) - zero_point_of(node.input(0))) * 128
    before_shift = fx.high_mul(values, _sixteen(multiplier), 16)
    product = _reluish(values, scale) * before_shift
    truncated = np.where(product < 0, -((-product) >> 15), product >> 15)
    return store(node, fp.rounding_divide_by_pot(truncated, -exponent), x.dtype)


def _fixed_8(node: Node, x: Array, function: Function, fraction_bits: int, offset: int) -> Array:
    """int8 in 4 integer bits of 32 -> function -> `fraction_bits` bits and `offset`, saturated outside its
    radius.
    """
    multiplier, shift = input_multiplier(float(scale_of(node.input(0))), 4)
    radius = input_radius(4, shift, 31)
    values = x.astype(np.int64) - zero_point_of(node.input(0))
    inside = np.clip(values, -radius, radius)
    scaled = fp.multiply_by_quantized_multiplier(inside, multiplier, shift)
    result = fp.rounding_divide_by_pot(function(scaled), 31 - fraction_bits) + offset
    result = np.where(values <= -radius, -128, np.where(values >= radius, 127, result))
    return saturate(result, np.dtype(np.int8))


def _has(node: Node, scale: float, zero_point: int) -> bool:
    result = node.outputs[0]
    return scale_of(result) == np.float32(scale) and zero_point_of(result) == zero_point


def logistic_quantised(node: Node, x: Array) -> Array:
    """int8 with an output of 1/256 from -128 in gemmlowp's fixed point, as TFLite Micro; LiteRT has a table
    of 256 entries, at times 1 beside it. Other outputs, and uint8, by that table. int16 by interpolation in
    256 steps of 1/24, as TFLite Micro (LiteRT takes gemmlowp's 16-bit fixed point for an input scale of
    2**-12)."""
    if x.dtype == np.int16:
        return logistic_16(x, float(scale_of(node.input(0))))
    if x.dtype == np.int8 and _has(node, 1 / 256, -128):
        return _fixed_8(node, x, lambda v: fx.logistic(v, 4), 8, -128)
    return apply_8(node, x, _logistic)


def tanh_quantised(node: Node, x: Array) -> Array:
    """int8 with an output of 1/128 around 0 in gemmlowp's fixed point, as TFLite Micro; LiteRT has a table of
    256 entries, at times 1 beside it. Other outputs, and uint8, by that table. int16 by interpolation in 256
    steps of 1/24, as TFLite Micro (LiteRT takes gemmlowp's 16-bit fixed point for an input scale of 2**-12 or
    2**-11)."""
    if x.dtype == np.int16:
        return tanh_16(x, float(scale_of(node.input(0))))
    if x.dtype == np.int8 and _has(node, 1 / 128, 0):
        return _fixed_8(node, x, lambda v: fx.tanh(v, 4), 7, 0)
    return apply_8(node, x, np.tanh)


def _elu_quantised(node: Node, x: Array) -> Array:
    """Table; TFLite Micro's has exp(x) - 1 in float32 where LiteRT has expm1."""
    return apply_8(node, x, _float32_elu)


def _float32_elu(x: Array) -> Array:
    return np.where(x < 0, np.exp(np.minimum(x, 0)).astype(np.float32) - np.float32(1), x)


def _activation(function: Callable[[Node], Function], integer: Quantised) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        x = operand(arrays, 0)
        if quantised(node.input(0)):
            return [integer(node, x)]
        if x.dtype.kind != "f":
            raise UnsupportedError(f"{node.where}: {node.op} of {x.dtype} needs a quantisation")
        return [real_function(function(node))(x)]

    return reference


OPS: tuple[OpSpec, ...] = (
    *(OpSpec(name, infer_same, relu_family) for name in _BOUNDS),
    OpSpec("leaky_relu", infer_same, leaky_relu, {"alpha": 0.0}),
    OpSpec("prelu", infer_prelu, prelu, inputs=(2, 2)),
    OpSpec("elu", infer_same, _activation(lambda _node: _elu, _elu_quantised)),
    OpSpec("gelu", infer_same, _activation(_gelu, table_lookup(_gelu)), {"approximate": False}),
    OpSpec("hard_swish", infer_same, _activation(lambda _node: _hard_swish, hard_swish_quantised)),
    OpSpec("logistic", infer_same, _activation(lambda _node: _logistic, logistic_quantised)),
    OpSpec("tanh", infer_same, _activation(lambda _node: np.tanh, tanh_quantised)),
)
