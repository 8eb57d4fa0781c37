"""RNN and its two sequence forms: state = activation(W x + R state + bias); float32 and hybrid.

Every step's output is its new state. Hybrid (int8 weights): input and state are quantised row by row. LiteRT
errs in the bidirectional form, where this follows the definition: it steps through a time-major auxiliary
input by the main input's size, ignores a batch-major one without weights, and runs a hybrid time-major
sequence once for every one of its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Quantization, Shape
from edged.graph.ops.activation import apply_activation
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr
from edged.graph.ops.weighted import exact_matmul, hybrid_weights, quantise_rows, scales_of

Shapes = Sequence[Shape | None]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Weights (outputs, depth) of a recurrent layer: floats, or int8 with one scale."""

    values: Array
    quantization: Quantization | None

    def product(self, x: Array, asymmetric: bool) -> Array:
        """x (rows, depth) times the weights: float64 for floats, float32 with hybrid rounding."""
        if self.values.dtype.kind == "f":
            return x.astype(np.float64) @ self.values.astype(np.float64).T
        rows, scales, zeros = quantise_rows(x, asymmetric)
        total = exact_matmul(rows - zeros[:, None], hybrid_weights(self.values).T)
        real: Array = total.astype(np.float32) * (scales[:, None] * scales_of(self.quantization, 1))
        return real


def matrix(node: Node, arrays: Arrays, index: int) -> Matrix | None:
    """The weights at an input, None where it is absent."""
    values = arrays[index] if index < len(arrays) else None
    return None if values is None else Matrix(values, node.input(index).quantization)


@dataclass(frozen=True, slots=True)
class _Cell:
    inputs: Matrix
    recurrent: Matrix
    bias: Array
    auxiliary: Matrix | None
    activation: str
    asymmetric: bool

    def step(self, x: Array, extra: Array | None, state: Array) -> Array:
        total = self.bias + self.inputs.product(x, self.asymmetric)
        if self.auxiliary is not None and extra is not None:
            total = total + self.auxiliary.product(extra, self.asymmetric)
        total = total + self.recurrent.product(state, self.asymmetric)
        return apply_activation(total.astype(np.float32), self.activation)

    def sequence(self, x: Array, extra: Array | None, state: Array, backward: bool) -> tuple[Array, Array]:
        """x (time, batch, depth) -> outputs (time, batch, units), last state."""
        outputs = np.empty((*x.shape[:2], self.recurrent.values.shape[0]), np.float32)
        for t in range(len(x))[::-1] if backward else range(len(x)):
            state = self.step(x[t], None if extra is None else extra[t], state)
            outputs[t] = state
        return outputs, state


def _cell(node: Node, arrays: Arrays, first: int, auxiliary: int | None = None) -> _Cell:
    inputs, recurrent = matrix(node, arrays, first), matrix(node, arrays, first + 1)
    bias = arrays[first + 2]
    assert inputs is not None
    assert recurrent is not None
    assert bias is not None
    return _Cell(
        inputs,
        recurrent,
        bias,
        None if auxiliary is None else matrix(node, arrays, auxiliary),
        attr(node, "fused_activation_function", "NONE"),
        attr(node, "asymmetric_quantize_inputs", False),
    )


def _required(arrays: Arrays, index: int) -> Array:
    array = arrays[index]
    assert array is not None
    return array


def rnn(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: input (batch, depth), weights, recurrent weights, bias, state. One step."""
    state = _cell(node, arrays, 1).step(_required(arrays, 0), None, _required(arrays, 4))
    return [state, state]


def unidirectional_sequence_rnn(node: Node, arrays: Arrays) -> Sequence[Array]:
    """As rnn, over an input (batch, time, depth), or (time, batch, depth) with time_major."""
    x, state = _required(arrays, 0), _required(arrays, 4)
    major = attr(node, "time_major", False)
    steps = x if major else x.swapaxes(0, 1)
    outputs, last = _cell(node, arrays, 1).sequence(steps, None, state, False)
    return [outputs if major else outputs.swapaxes(0, 1), last]


def bidirectional_sequence_rnn(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Inputs: input; weights, recurrent weights, bias, state of the forward cell, then of the backward one;
    the auxiliary input and its weights, forward and backward.

    An auxiliary input without weights is the backward cell's input (two layers linked in parallel).
    """
    x, extra = _required(arrays, 0), arrays[9] if len(arrays) > 9 else None
    major = attr(node, "time_major", False)
    steps = x if major else x.swapaxes(0, 1)
    other = extra if extra is None or major else extra.swapaxes(0, 1)
    forward, backward = _cell(node, arrays, 1, 10), _cell(node, arrays, 5, 11)
    cross = other if forward.auxiliary is None else None
    ahead, last = forward.sequence(steps, other, _required(arrays, 4), False)
    behind, first = backward.sequence(steps if cross is None else cross, other, _required(arrays, 8), True)
    results = [ahead, behind]
    if attr(node, "merge_outputs", False):
        results = [np.concatenate(results, axis=2)]
    return [*(r if major else r.swapaxes(0, 1) for r in results), last, first]


def _units(node: Node, source: Shape, weights: Shape, rank: int) -> int:
    if len(source) != rank or len(weights) != 2 or source[-1] != weights[1]:
        raise ShapeError(f"{node.where}: an input of shape {source} does not fit weights of shape {weights}")
    return weights[0]


def _infer(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    return [(*source[:-1], _units(node, source, weights, 2 if node.op == "rnn" else 3))]


def _infer_bidirectional(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, forward, backward = shapes[0], shapes[1], shapes[5]
    if source is None or forward is None or backward is None:
        return [None] * len(node.outputs)
    ahead = _units(node, source, forward, 3)
    if attr(node, "merge_outputs", False):
        return [(*source[:2], ahead + backward[0])]
    return [(*source[:2], ahead), (*source[:2], backward[0])]


def _macs(_node: Node, ins: Shapes, _outs: Shapes) -> int:
    source, total = ins[0], 0
    assert source is not None
    for shape in ins[1:]:
        if shape is not None and len(shape) == 2 and shape[0] != source[0]:
            total += shape[0] * shape[1]
    return total * int(np.prod(source[:-1]))


_ATTRS = {"fused_activation_function": "NONE", "asymmetric_quantize_inputs": False}
_SEQUENCE = {**_ATTRS, "time_major": False}

OPS: tuple[OpSpec, ...] = (
    OpSpec("rnn", _infer, rnn, _ATTRS, (5, 5), macs=_macs, stateful=True),
    OpSpec(
        "unidirectional_sequence_rnn",
        _infer,
        unidirectional_sequence_rnn,
        _SEQUENCE,
        (5, 5),
        macs=_macs,
        stateful=True,
    ),
    OpSpec(
        "bidirectional_sequence_rnn",
        _infer_bidirectional,
        bidirectional_sequence_rnn,
        {**_SEQUENCE, "merge_outputs": False},
        (12, 12),
        (1, 2),
        macs=_macs,
        stateful=True,
    ),
)
