"""SOFTMAX and LOG_SOFTMAX over the last dimension: float32, int8, uint8, int16 and int8 to int16.

8-bit inputs are computed in gemmlowp's fixed point, as TFLite Micro and TFLite's reference kernels do;
LiteRT's optimised ones look exp up in a float table, at times 1 beside this. int16 interpolates in two
tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops import fixedpoint_functions as fx
from edged.graph.ops.broadcast import infer_same, operand, saturate, scale_of
from edged.graph.ops.logarithm import log_above_one
from edged.graph.ops.lut import input_radius, lookup_16, table_16
from edged.graph.ops.spec import Array, Arrays, OpSpec, attr, quantised

_DIFFERENCE_BITS, _SUM_BITS, _LOG_BITS = 5, 12, 4
"""Integer bits of scaled differences, of sums of exponentials, and of the 8-bit logarithm."""


def _input_scaling(scale: float, beta: float) -> tuple[int, int, int]:
    """(multiplier, left shift, least difference that counts): PreprocessSoftmaxScaling,
    CalculateInputRadius.
    """
    real = min(beta * scale * (1 << (31 - _DIFFERENCE_BITS)), (1 << 31) - 1.0)
    multiplier, shift = fp.quantize_multiplier(real)
    return multiplier, shift, -input_radius(_DIFFERENCE_BITS, shift, 31)


def _exponentials(x: Array, scale: float, beta: float) -> tuple[Array, Array, Array]:
    """(differences from the row's greatest in fixed point, whether each counts, exponentials without integer
    bits).
    """
    multiplier, shift, least = _input_scaling(scale, beta)
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counts = difference >= least
    scaled = fx.high_mul(fp.wrap_int32(np.where(counts, difference, 0) << shift), multiplier)
    return scaled, counts, fx.exp_on_negative_values(scaled, _DIFFERENCE_BITS)


def _sum_of(exponentials: Array, counts: Array) -> Array:
    parts = fx.rescale(exponentials, 0, _SUM_BITS)
    return np.asarray(np.where(counts, parts, 0).sum(axis=-1, keepdims=True))


def softmax_8(node: Node, x: Array) -> Array:
    """int8 or uint8, to int8, uint8 or int16; the output scale is 1/256 (1/65536) from the least value."""
    beta = float(np.float32(attr(node, "beta", 0.0)))
    _, counts, exponentials = _exponentials(x, float(scale_of(node.input(0))), beta)
    inverse, over = fx.reciprocal(_sum_of(exponentials, counts), _SUM_BITS)
    dtype = np.dtype(str(node.outputs[0].dtype))
    product = fx.high_mul(exponentials, inverse)
    values = fp.rounding_divide_by_pot(product, over + 31 - dtype.itemsize * 8)
    return saturate(np.where(counts, values, 0) + fp.integer_range(str(dtype))[0], dtype)


@cache
def tables_16() -> tuple[Array, Array]:
    """exp on [-10, 0] and 1 / (1 + x) on [0, 1], in float32 as TFLite Micro (LiteRT builds them in
    double).
    """
    span = np.float32(65535)
    two = np.float32(2) / span
    exp = table_16(np.float32(10) / span, 32767, two, 0, np.exp)
    inverse = table_16(np.float32(1) / span, -32768, two, 0, lambda x: 1 / (1 + x))
    return exp, inverse


def steps_16(node: Node) -> float:
    """Steps of the exponentials' table (10/65535) in one of the input, times beta."""
    beta = float(np.float32(attr(node, "beta", 0.0)))
    return float(scale_of(node.input(0))) * beta / (10.0 / 65535.0)


def softmax_16(node: Node, x: Array) -> Array:
    """int16 around 0 to int16 with a scale of 1/32768."""
    exp_table, inverse_table = tables_16()
    multiplier, shift = fp.quantize_multiplier(steps_16(node))
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    scaled = fp.multiply_by_quantized_multiplier(difference, multiplier, shift) + 32767
    exponentials = lookup_16(np.clip(scaled, -32768, 32767), exp_table)
    total = exponentials.sum(axis=-1, keepdims=True)
    headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    shifted = ((total << (headroom - 1)) + (1 << 13)) >> 14
    inverse = lookup_16(np.clip(shifted - (1 << 15) - (1 << 16), -32768, 32767), inverse_table)
    right = 31 - headroom
    result = (exponentials * inverse + (np.int64(1) << (right - 1))) >> right
    return np.asarray(np.clip(result, 0, 32767)).astype(np.int16)


def _checked(node: Node, arrays: Arrays) -> Array:
    x = operand(arrays, 0)
    if x.ndim == 0:
        raise ShapeError(f"{node.where}: {node.op} takes at least one dimension")
    return x


def softmax(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = _checked(node, arrays)
    if x.size == 0:
        return [np.zeros(x.shape, str(node.outputs[0].dtype))]
    if quantised(node.input(0)):
        if x.dtype.itemsize > 2:
            raise UnsupportedError(
                f"{node.where}: quantised SOFTMAX takes 8- and 16-bit integers, not {x.dtype}"
            )
        return [softmax_16(node, x) if x.dtype == np.int16 else softmax_8(node, x)]
    beta = float(attr(node, "beta", 0.0))
    real = x.astype(np.float64)
    power = np.exp((real - real.max(axis=-1, keepdims=True)) * beta)
    return [(power / power.sum(axis=-1, keepdims=True)).astype(x.dtype)]


def log_softmax_8(node: Node, x: Array) -> Array:
    """int8 or uint8 to the same with a scale of 1/16 from the greatest value."""
    multiplier, shift, least = _input_scaling(float(scale_of(node.input(0))), 1.0)
    scaled, counts, exponentials = _exponentials(x, float(scale_of(node.input(0))), 1.0)
    log = log_above_one(_sum_of(exponentials, counts), _SUM_BITS, _DIFFERENCE_BITS)
    reverse, reverse_shift = fp.quantize_multiplier(2.0 ** (31 - shift) / multiplier)
    floor = fp.multiply_by_quantized_multiplier(fp.wrap_int32(log - (1 << 31)), reverse, reverse_shift)
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    within = difference > np.maximum(least - 1, floor)
    low, high = fp.integer_range(str(x.dtype))
    values = fp.rounding_divide_by_pot(fp.wrap_int32(scaled - log), 31 - _DIFFERENCE_BITS - _LOG_BITS) + high
    return saturate(np.where(within, values, low), x.dtype)


def log_softmax(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = _checked(node, arrays)
    if x.size == 0:
        return [x.copy()]
    if quantised(node.input(0)):
        if x.dtype.itemsize > 1:
            raise UnsupportedError(f"{node.where}: quantised LOG_SOFTMAX takes 8-bit integers, not {x.dtype}")
        return [log_softmax_8(node, x)]
    real = x.astype(np.float64)
    shifted = real - real.max(axis=-1, keepdims=True)
    return [(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))).astype(x.dtype)]


OPS: tuple[OpSpec, ...] = (
    OpSpec("softmax", infer_same, softmax, {"beta": 0.0}),
    OpSpec("log_softmax", infer_same, log_softmax),
)
