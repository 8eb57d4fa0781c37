"""ADD, SUB, MUL, DIV, SQUARED_DIFFERENCE, ADD_N: floats, plain integers, and quantised int8, uint8, int16.

Quantised sums bring both operands to twice the larger scale with 20 (16-bit: 15) guard bits, then to the
output. Where LiteRT and TFLite Micro multiply scales in different precision, int8 and int16 follow TFLite
Micro, uint8 LiteRT. Plain integers wrap around, as C's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.errors import InputError, ShapeError, UnsupportedError
from edged.graph.model import Node, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops import fixedpoint_functions as fx
from edged.graph.ops.broadcast import (
    infer_broadcast,
    operand,
    operands,
    rescaled,
    scale_of,
    working_scale,
    zero_point_of,
)
from edged.graph.ops.lut import power_of_two
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, Value, attr, quantised

Shapes = Sequence[Shape | None]
Scales = tuple[float, float, float]
"""Real multipliers of the first and second operand and of the result."""


def centred(node: Node, index: int, x: Array) -> Array:
    """Stored values less the zero point; int64."""
    return x.astype(np.int64) - zero_point_of(node.input(index))


def _activated(node: Node, values: Array) -> Array:
    """The fused activation on plain values."""
    activation = attr(node, "fused_activation_function", "NONE")
    if values.dtype.kind == "f" or activation not in fp.FLOAT_ACTIVATIONS:
        return fp.activate(values, activation)
    low, high = fp.FLOAT_ACTIVATIONS[activation]
    info = np.iinfo(values.dtype)
    return np.asarray(np.clip(values, int(max(low, info.min)), int(min(high, info.max))), values.dtype)


def finish(node: Node, values: Array) -> Array:
    """Integers on the output's scale -> stored outputs with zero point and fused activation."""
    result = node.outputs[0]
    activation = attr(node, "fused_activation_function", "NONE")
    low, high = fp.activation_range(
        activation, float(scale_of(result)), zero_point_of(result), str(result.dtype)
    )
    return np.asarray(np.clip(values + zero_point_of(result), low, high)).astype(str(result.dtype))


def _sum_scales(node: Node, left_shift: int) -> Scales:
    first, second, result = (float(scale_of(t)) for t in (node.input(0), node.input(1), node.outputs[0]))
    twice = 2.0 * max(first, second)
    return first / twice, second / twice, twice / ((1 << left_shift) * result)


def _working_scales(node: Node, stored: np.dtype[np.generic]) -> list[np.floating]:
    return [working_scale(t, stored) for t in (node.input(0), node.input(1), node.outputs[0])]


def _power_of_two_shifts(node: Node) -> tuple[int, int] | None:
    """Right shifts of both int16 operands, where the node asks for LSTM's power-of-two arithmetic and its
    scales allow it.

    One of them is 0. TFLite Micro has no such path (it always takes the general one); LiteRT takes it for a
    node with `pot_scale_int16`, which is the schema's default.
    """
    if str(node.outputs[0].dtype) != "int16" or not attr(node, "pot_scale_int16", True):
        return None
    logs = [power_of_two(float(scale_of(t))) for t in (node.input(0), node.input(1), node.outputs[0])]
    if None in logs:
        return None
    first, second, result = (log for log in logs if log is not None)
    shifts = result - first, result - second
    return shifts if min(shifts) == 0 else None


def _quantised_sum(node: Node, a: Array, b: Array, sign: int) -> Array:
    shifts = _power_of_two_shifts(node)
    if shifts is not None:
        first = fp.rounding_divide_by_pot(a.astype(np.int64), shifts[0])
        second = fp.rounding_divide_by_pot(b.astype(np.int64), shifts[1])
        return finish(node, np.asarray(np.clip(first + sign * second, -32768, 32767)))
    left_shift = 15 if a.dtype == np.int16 else 20
    scales = _sum_scales(node, left_shift)
    first = rescaled(centred(node, 0, a) << left_shift, scales[0])
    second = rescaled(centred(node, 1, b) << left_shift, scales[1])
    return finish(node, rescaled(first + sign * second, scales[2]))


def add_quantised(node: Node, a: Array, b: Array) -> Array:
    """int16 with `pot_scale_int16` and power-of-two scales: a shift and a saturating addition; else the
    general form.
    """
    return _quantised_sum(node, a, b, 1)


def sub_quantised(node: Node, a: Array, b: Array) -> Array:
    """As ADD, with the second operand taken away."""
    return _quantised_sum(node, a, b, -1)


def mul_quantised(node: Node, a: Array, b: Array) -> Array:
    """Scales multiplied in double for int8 and int16 (TFLite Micro), in float32 for uint8 (LiteRT).

    int16 operands with an 8-bit output: the product in 15 bits of fraction, of which the upper 8 stay
    (LiteRT).
    """
    if a.dtype == np.int16 and node.outputs[0].dtype.bits == 8:
        product = fx.high_mul(a.astype(np.int64), b.astype(np.int64), 16)
        return finish(node, fp.rounding_divide_by_pot(product, 8))
    first, second, result = _working_scales(node, a.dtype)
    product = fp.wrap_int32(centred(node, 0, a) * centred(node, 1, b))
    return finish(node, rescaled(product, float(first * second / result)))


def div_quantised(node: Node, a: Array, b: Array) -> Array:
    """By the fixed-point reciprocal of the divisor; a divisor of real 0 is an InputError."""
    dividend, divisor = np.broadcast_arrays(centred(node, 0, a), centred(node, 1, b))
    if (divisor == 0).any():
        raise InputError(f"{node.where}: DIV by zero")
    dividend = np.where(divisor < 0, -dividend, dividend)
    inverse, over = fx.reciprocal(np.abs(divisor), 31)
    bits = np.frexp(np.where(dividend < 0, ~dividend, dividend).astype(np.float64))[1].astype(np.int64)
    headroom = 31 - bits
    quotient = fx.high_mul(dividend << headroom, inverse)
    first, second, result = (scale_of(t) for t in (node.input(0), node.input(1), node.outputs[0]))
    multiplier, shift = fp.quantize_multiplier(float(first / (second * result)))
    product = fx.high_mul(quotient, multiplier)
    return finish(node, _divide_by_pot(product, over + headroom - shift))


def _divide_by_pot(x: Array, exponent: Array) -> Array:
    """RoundingDivideByPOT in 32 bits, with what TFLite's x86 builds make of exponents outside 0 ... 31.

    TFLite divides small dividends by such exponents without noticing; the shift then takes the low five bits
    of the amount, and the mask of the remainder is all ones. (Results there are far from the quotient, but
    they are TFLite's.)
    """
    mask = np.where(exponent > 31, -1, (np.int64(1) << np.clip(exponent, 0, 31)) - 1)
    threshold = (mask >> 1) + (x < 0)
    return np.asarray((x >> (exponent & 31)) + ((x & mask) > threshold))


def squared_difference_quantised(node: Node, a: Array, b: Array) -> Array:
    """int8 with 7 guard bits; int16 with none (TFLite Micro only: LiteRT computes int16 on stored values)."""
    left_shift = 0 if a.dtype == np.int16 else 7
    first, second, result = (float(scale_of(t)) for t in (node.input(0), node.input(1), node.outputs[0]))
    twice = 2.0 * max(first, second)
    difference = rescaled(centred(node, 0, a) << left_shift, first / twice)
    difference = difference - rescaled(centred(node, 1, b) << left_shift, second / twice)
    scaled_one = float(np.float32(1 << 2 * left_shift) * np.float32(result))
    return finish(node, rescaled(fp.wrap_int32(difference**2), twice * twice / scaled_one))


def _divide(node: Node, a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        with np.errstate(all="ignore"):
            return np.asarray(a / b)
    if (b == 0).any():
        raise InputError(f"{node.where}: DIV by zero")
    quotient = np.abs(a.astype(np.int64)) // np.abs(b.astype(np.int64))
    return np.where((a < 0) != (b < 0), -quotient, quotient).astype(a.dtype)


Binary = Callable[[Node, Array, Array], Array]


def _arithmetic(plain: Binary, integer: Binary, quantised_kinds: str) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        a, b = operands(node, arrays)
        if quantised(node.outputs[0]) and quantised(node.input(0)) and a.dtype.itemsize <= 2:
            if str(a.dtype) not in quantised_kinds.split():
                raise UnsupportedError(f"{node.where}: quantised {node.op} has no meaning for {a.dtype}")
            return [integer(node, a, b)]
        with np.errstate(over="ignore", invalid="ignore"):
            return [_activated(node, plain(node, a, b))]

    return reference


def add_n(node: Node, arrays: Arrays) -> Sequence[Array]:
    """The sum of all inputs. int8 (TFLite Micro only): equal quantisations, then as ADD with 20 guard
    bits.
    """
    inputs = [operand(arrays, i) for i in range(len(arrays))]
    infer_add_n(node, [x.shape for x in inputs], lambda _index: None)
    if not (quantised(node.input(0)) and inputs[0].dtype == np.int8):
        total = inputs[0].copy()
        for x in inputs[1:]:
            total = total + x
        return [total]
    values: Array = np.zeros(inputs[0].shape, np.int64)
    start = rescaled(np.asarray(-zero_point_of(node.input(0)) << 20), 0.5)
    for i, x in enumerate(inputs):
        values = values + rescaled(centred(node, i, x) << 20, 0.5)
    twice = 2.0 * float(scale_of(node.input(0)))
    total = fp.wrap_int32(values + start)
    return [finish(node, rescaled(total, twice / ((1 << 20) * float(scale_of(node.outputs[0])))))]


def infer_add_n(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    known = {s for s in shapes if s is not None}
    if len(known) > 1:
        raise ShapeError(f"{node.where}: the inputs of ADD_N must have one shape, they have {sorted(known)}")
    return [next(iter(known), None)]


_FUSED = {"fused_activation_function": "NONE"}
_POT = {**_FUSED, "pot_scale_int16": True}
_ALL = "int8 uint8 int16"

OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "add", infer_broadcast, _arithmetic(lambda _n, a, b: a + b, add_quantised, _ALL), _POT, inputs=(2, 2)
    ),
    OpSpec(
        "sub", infer_broadcast, _arithmetic(lambda _n, a, b: a - b, sub_quantised, _ALL), _POT, inputs=(2, 2)
    ),
    OpSpec(
        "mul",
        infer_broadcast,
        _arithmetic(lambda _n, a, b: a * b, mul_quantised, _ALL),
        _FUSED,
        inputs=(2, 2),
    ),
    OpSpec("div", infer_broadcast, _arithmetic(_divide, div_quantised, _ALL), _FUSED, inputs=(2, 2)),
    OpSpec(
        "squared_difference",
        infer_broadcast,
        _arithmetic(lambda _n, a, b: (a - b) * (a - b), squared_difference_quantised, "int8 int16"),
        inputs=(2, 2),
    ),
    OpSpec("add_n", infer_add_n, add_n, inputs=(1, None)),
)
