"""LSTM, UNIDIRECTIONAL_SEQUENCE_LSTM, BIDIRECTIONAL_SEQUENCE_LSTM over the cells of lstm_float, lstm_integer.

The LSTM operator has a second form, the basic kernel: lstm_basic. The results are the outputs, then the new
output and cell states. LiteRT errs in batch-major BIDIRECTIONAL_SEQUENCE_LSTM with merged outputs and more
than one batch (it takes states from the wrong rows); this follows the definition.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.graph.model import Node, Shape
from edged.graph.ops.lstm_basic import infer_basic, lstm_basic
from edged.graph.ops.lstm_float import float_cell
from edged.graph.ops.lstm_integer import integer_cell
from edged.graph.ops.lstm_layout import BACKWARD, FORWARD, FULL, Layout, at, infer_units, macs, required, walk
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr

Shapes = Sequence[Shape | None]


def _states(arrays: Arrays, layout: Layout) -> tuple[Array, Array]:
    return required(arrays, layout.output_state), required(arrays, layout.cell_state)


def unidirectional_sequence_lstm(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Input (batch, time, depth), or (time, batch, depth) with time_major."""
    x, major = required(arrays, 0), attr(node, "time_major", False)
    cell = float_cell(node, arrays, FULL) if x.dtype == np.float32 else integer_cell(node, arrays)
    steps = x if major else x.swapaxes(0, 1)
    outputs, output, state = walk(cell.step, steps, None, _states(arrays, FULL))
    return [outputs if major else outputs.swapaxes(0, 1), output, state]


def lstm(node: Node, arrays: Arrays) -> Sequence[Array]:
    """One step of an input (batch, depth)."""
    if attr(node, "kernel_type", "FULL") == "BASIC":
        return lstm_basic(node, arrays)
    x = required(arrays, 0)
    cell = float_cell(node, arrays, FULL) if x.dtype == np.float32 else integer_cell(node, arrays)
    outputs, output, state = walk(cell.step, x[None], None, _states(arrays, FULL))
    return [outputs[0], output, state]


def bidirectional_sequence_lstm(node: Node, arrays: Arrays) -> Sequence[Array]:
    """A forward and a backward cell over the same input, float32 or hybrid.

    An auxiliary input without weights is the backward cell's input (two layers linked in parallel).
    """
    x, extra, major = required(arrays, 0), at(arrays, 39), attr(node, "time_major", True)
    steps = x if major else x.swapaxes(0, 1)
    other = extra if extra is None or major else extra.swapaxes(0, 1)
    forward, backward = float_cell(node, arrays, FORWARD), float_cell(node, arrays, BACKWARD)
    linked = other is not None and at(arrays, 41) is None
    ahead, *last = walk(forward.step, steps, other, _states(arrays, FORWARD))
    turned = other if linked and other is not None else steps
    behind, *first = walk(backward.step, turned, other, _states(arrays, BACKWARD), backward=True)
    results = [ahead, behind]
    if attr(node, "merge_outputs", False):
        results = [np.concatenate(results, axis=2)]
    return [*(r if major else r.swapaxes(0, 1) for r in results), *last, *first]


def _infer(node: Node, shapes: Shapes, value: Value) -> Shapes:
    if attr(node, "kernel_type", "FULL") == "BASIC":
        return infer_basic(node, shapes, value)
    found = infer_units(node, shapes, FULL)
    return [None if found is None else (*found[0][:-1], found[1])]


def _infer_bidirectional(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    ahead, behind = infer_units(node, shapes, FORWARD), infer_units(node, _turned(shapes), BACKWARD)
    if ahead is None or behind is None:
        return [None] * len(node.outputs)
    lead = ahead[0][:-1]
    if attr(node, "merge_outputs", False):
        return [(*lead, ahead[1] + behind[1])]
    return [(*lead, ahead[1]), (*lead, behind[1])]


def _turned(shapes: Shapes) -> Shapes:
    """The backward cell's view of the inputs."""
    linked = len(shapes) > 41 and shapes[39] is not None and shapes[41] is None
    return [shapes[39], *shapes[1:]] if linked else shapes


_ATTRS = {
    "fused_activation_function": "NONE",
    "cell_clip": 0.0,
    "proj_clip": 0.0,
    "asymmetric_quantize_inputs": False,
}
_SEQUENCE = {**_ATTRS, "time_major": False, "diagonal_recurrent_tensors": False}
_BIDIRECTIONAL = {**_ATTRS, "time_major": True, "merge_outputs": False}

OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "unidirectional_sequence_lstm",
        _infer,
        unidirectional_sequence_lstm,
        _SEQUENCE,
        (20, 24),
        macs=macs,
        stateful=True,
    ),
    OpSpec(
        "lstm", _infer, lstm, {**_ATTRS, "kernel_type": "FULL"}, (5, 24), (1, 4), macs=macs, stateful=True
    ),
    OpSpec(
        "bidirectional_sequence_lstm",
        _infer_bidirectional,
        bidirectional_sequence_lstm,
        _BIDIRECTIONAL,
        (48, 48),
        (1, 2),
        macs=macs,
        stateful=True,
    ),
)
