"""The basic kernel of LSTM: five inputs, float32, or uint8 activations with an int16 state of 4 integer bits.

Inputs: input, previous activation, weights (4 * units, depth + units), bias, previous state; the rows of the
weights are input gate, update, forget gate, output gate. Outputs: activation, state, and two temporaries of
the format: input and activation side by side, and the gates before their activation. Source: LstmCell in
TFLite's internal/reference/lstm_cell.h; the gates' final shift rounds ties upwards, as LiteRT's optimised
kernel does (TFLite Micro has no such operator).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops import fixedpoint_functions as functions
from edged.graph.ops.lstm_layout import required
from edged.graph.ops.spec import Array, Arrays, Value
from edged.graph.ops.weighted import zero_point

Shapes = Sequence[Shape | None]


def infer_basic(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, previous, weights = shapes[0], shapes[1], shapes[2]
    if source is None or previous is None or weights is None:
        return [None] * len(node.outputs)
    depth = source[-1] + previous[-1]
    if weights != (4 * previous[-1], depth):
        raise ShapeError(f"{node.where}: weights of shape {weights} do not fit {source} and {previous}")
    rows = source[0]
    return [previous, previous, (rows, depth), (rows, 4 * previous[-1])][: len(node.outputs)]


def lstm_basic(node: Node, arrays: Arrays) -> Sequence[Array]:
    """One step. The previous activation and state are new values where they are variable."""
    x, previous, weights, bias, state = (required(arrays, i) for i in range(5))
    both = np.concatenate([x, previous], axis=-1)
    if x.dtype.kind == "f":
        gates = (both.astype(np.float64) @ weights.astype(np.float64).T + bias).astype(np.float32)
        activation, moved = _float_step(gates, state)
    else:
        gates = _integer_gates(node, both, weights, bias)
        activation, moved = _integer_step(gates, state)
    variables = [new for i, new in ((1, activation), (4, moved)) if node.input(i).variable]
    return [*[activation, moved, both, gates][: len(node.outputs)], *variables]


def _float_step(gates: Array, state: Array) -> tuple[Array, Array]:
    chosen, update, forget, opened = np.split(gates.astype(np.float64), 4, axis=-1)

    def logistic(v: Array) -> Array:
        inverse: Array = 1 + np.exp(-v)
        return 1 / inverse

    moved = logistic(chosen) * np.tanh(update) + logistic(forget) * state
    return (logistic(opened) * np.tanh(moved)).astype(np.float32), moved.astype(np.float32)


def _integer_gates(node: Node, both: Array, weights: Array, bias: Array) -> Array:
    """3 integer bits of 16; activations have zero point 128 and scale 1 / 128."""
    quantization = node.input(3).quantization
    scale = np.float32(quantization.scale if quantization else 1.0)
    centre = both.astype(np.float64) - 128
    total = (centre @ (weights.astype(np.float64) - zero_point(node.input(2))).T).astype(np.int64)
    multiplier, shift = fp.quantize_multiplier(float(np.float32(4096) * scale))
    left, right = max(shift, 0), max(-shift, 0)
    high = fp.saturating_rounding_doubling_high_mul(fp.wrap_int32((total + bias) << left), multiplier)
    scaled = (high + (1 << right >> 1)) >> right
    gates: Array = np.clip(scaled, -32768, 32767).astype(np.int16)
    return gates


def _integer_step(gates: Array, state: Array) -> tuple[Array, Array]:
    chosen, update, forget, opened = np.split(gates.astype(np.int64), 4, axis=-1)
    added = functions.high_mul(functions.logistic(chosen, 3, 16), functions.tanh(update, 3, 16), 16)
    kept = functions.high_mul(functions.logistic(forget, 3, 16), state, 16)
    moved = np.clip(functions.rescale(added, 0, 4, 16) + kept, -32768, 32767)
    squashed = functions.tanh(functions.rescale(moved, 4, 3, 16), 3, 16)
    result = functions.high_mul(functions.logistic(opened, 3, 16), squashed, 16)
    stored = 128 + np.clip(fp.rounding_divide_by_pot(result, 8), -128, 127)
    return stored.astype(np.uint8), moved.astype(np.int16)
