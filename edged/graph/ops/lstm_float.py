"""The LSTM cell in floats: float32 weights, or int8 ones (hybrid: inputs quantised row by row).

Source: CalculateLstmGateFloat, CalculateLstmGateHybrid and what follows them in TFLite's lstm_eval.cc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edged.graph.model import Node
from edged.graph.ops.activation import apply_activation
from edged.graph.ops.lstm_layout import CELL, FORGET, INPUT, OUTPUT, Layout, at
from edged.graph.ops.rnn import Matrix, matrix
from edged.graph.ops.spec import Array, Arrays, attr
from edged.graph.ops.weighted import scales_of

_NORM_GUARD = 1e-8


@dataclass(frozen=True, slots=True)
class _Gate:
    """`diagonal` is the recurrent matrix where only its diagonal is given."""

    inputs: Matrix
    recurrent: Matrix | None
    diagonal: Array | None
    auxiliary: Matrix | None
    peephole: Array | None
    bias: Array | None
    norm: Array | None


@dataclass(frozen=True, slots=True)
class FloatCell:
    """One LSTM cell; `step` has the signature of `lstm_layout.Step`."""

    gates: tuple[_Gate | None, ...]
    projection: Matrix | None
    projection_bias: Array | None
    activation: str
    cell_clip: float
    projection_clip: float
    asymmetric: bool

    def step(self, x: Array, extra: Array | None, output: Array, cell: Array) -> tuple[Array, Array]:
        forget = self._gate(FORGET, x, extra, output, cell)
        chosen = 1 - forget if self.gates[INPUT] is None else self._gate(INPUT, x, extra, output, cell)
        update = self._gate(CELL, x, extra, output, cell)
        cell = forget * cell + chosen * update
        if self.cell_clip > 0:
            cell = np.clip(cell, -self.cell_clip, self.cell_clip)
        opened = self._gate(OUTPUT, x, extra, output, cell)
        return self._output(opened * apply_activation(cell, self.activation)), cell

    def _gate(self, index: int, x: Array, extra: Array | None, output: Array, cell: Array) -> Array:
        gate = self.gates[index]
        assert gate is not None
        total = gate.inputs.product(x, self.asymmetric)
        if gate.norm is None and gate.bias is not None:
            total = gate.bias + total
        if extra is not None and gate.auxiliary is not None:
            total = total + gate.auxiliary.product(extra, self.asymmetric)
        if gate.recurrent is not None:
            total = total + gate.recurrent.product(output, self.asymmetric)
        if gate.diagonal is not None:
            total = total + gate.diagonal * output
        if gate.peephole is not None:
            total = total + gate.peephole * cell
        if gate.norm is not None:
            total = _normalised(total) * gate.norm + (0 if gate.bias is None else gate.bias)
        if index == CELL:
            return apply_activation(total.astype(np.float32), self.activation)
        opened: Array = (1 / (1 + np.exp(-total.astype(np.float64)))).astype(np.float32)
        return opened

    def _output(self, hidden: Array) -> Array:
        if self.projection is None:
            return hidden
        total = self.projection.product(hidden, self.asymmetric)
        total = total if self.projection_bias is None else total + self.projection_bias
        if self.projection_clip > 0:
            total = np.clip(total, -self.projection_clip, self.projection_clip)
        return total.astype(np.float32)


def _normalised(total: Array) -> Array:
    """MeanStddevNormalization of each row."""
    wide = total.astype(np.float64)
    centre = wide - wide.mean(axis=1, keepdims=True)
    deviation = np.sqrt((centre**2).mean(axis=1, keepdims=True) + _NORM_GUARD)
    normalised: Array = centre / deviation
    return normalised


def _vector(node: Node, arrays: Arrays, index: int | None) -> Array | None:
    """A float vector; int8 ones (hybrid peepholes, diagonals) are dequantised."""
    values = at(arrays, index)
    if values is None or index is None or values.dtype.kind == "f":
        return values
    real: Array = values.astype(np.float32) * scales_of(node.input(index).quantization, 1)
    return real


def _gate(node: Node, arrays: Arrays, layout: Layout, gate: int) -> _Gate | None:
    inputs = matrix(node, arrays, layout.inputs + gate)
    if inputs is None:
        return None
    recurrent = at(arrays, layout.recurrent + gate)
    diagonal = recurrent is not None and recurrent.ndim == 1
    return _Gate(
        inputs,
        None if diagonal else matrix(node, arrays, layout.recurrent + gate),
        _vector(node, arrays, layout.recurrent + gate) if diagonal else None,
        None if layout.auxiliary is None else matrix(node, arrays, layout.auxiliary + gate),
        _vector(node, arrays, layout.peephole_of(gate)),
        at(arrays, layout.bias + gate),
        at(arrays, None if layout.norm is None else layout.norm + gate),
    )


def float_cell(node: Node, arrays: Arrays, layout: Layout) -> FloatCell:
    """The cell of a node whose activations are float32."""
    return FloatCell(
        tuple(_gate(node, arrays, layout, gate) for gate in range(4)),
        matrix(node, arrays, layout.projection),
        at(arrays, layout.projection + 1),
        attr(node, "fused_activation_function", "NONE"),
        float(np.float32(attr(node, "cell_clip", 0.0))),
        float(np.float32(attr(node, "proj_clip", 0.0))),
        attr(node, "asymmetric_quantize_inputs", False),
    )
