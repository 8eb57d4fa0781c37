"""The LSTM cell in integers: int8 activations and weights, int16 gates and cell state (TFLite's 8x8_16).

TFLite and TFLite Micro disagree on it: TFLite takes gemmlowp's fixed-point logistic and tanh and rounds
products once, Micro takes its 16-bit tables and double rounding. Micro runs only plain layers of
UNIDIRECTIONAL_SEQUENCE_LSTM (all four gates; no peephole, projection or layer norm), int16 activations too:
`MicroCell` computes those. `IntegerCell` computes the others as TFLite does, from its lstm_eval.cc and
PopulateQuantizedLstmParams8x8_16, except that a layer with peephole and projection has all its cells looked
at, where TFLite stops after as many as it has outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edged.errors import UnsupportedError
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops import fixedpoint_functions as functions
from edged.graph.ops.lstm_layout import CELL, FORGET, FULL, INPUT, OUTPUT, at
from edged.graph.ops.lut import logistic_16, tanh_16
from edged.graph.ops.spec import Array, Arrays, attr
from edged.graph.ops.weighted import zero_point

_GATE_SCALE = 2.0**-12
_UNIT = 2.0**-15


def _scale(tensor: Tensor) -> np.float32:
    assert tensor.quantization is not None
    return np.float32(tensor.quantization.scale)


def _clip16(x: Array) -> Array:
    clipped: Array = np.clip(x, -32768, 32767)
    return clipped


def _wrap16(x: Array) -> Array:
    wrapped: Array = ((x + (1 << 15)) & 0xFFFF) - (1 << 15)
    return wrapped


@dataclass(frozen=True, slots=True)
class _Product:
    """weights (outputs, depth) times inputs less their zero point, plus a bias, scaled."""

    weights: Array
    bias: Array | None
    multiplier: int
    shift: int
    offset: int
    wide: bool = False

    def __call__(self, x: Array) -> Array:
        total = ((x.astype(np.float64) - self.offset) @ self.weights.T).astype(np.int64)
        total = total if self.bias is None else total + self.bias
        scaled = fp.multiply_by_quantized_multiplier_64 if self.wide else fp.multiply_by_quantized_multiplier
        return scaled(total, self.multiplier, self.shift)


@dataclass(frozen=True, slots=True)
class _Norm:
    """ApplyLayerNorm: int16 coefficients, int32 bias."""

    coefficients: Array
    bias: Array
    multiplier: int
    shift: int
    guard: int

    def __call__(self, gate: Array) -> Array:
        return np.stack([self._row(row) for row in gate])

    def _row(self, row: Array) -> Array:
        n = len(row)
        mean = int(np.trunc(int(row.sum()) * 1024 / n))
        variance = int((row * row).sum()) * ((1 << 20) // n) - mean * mean
        reduced = int(variance / (1 << 20))
        inverse, right = functions.inverse_sqrt_multiplier(reduced if reduced >= 1 else self.guard)
        rescaled = fp.multiply_by_quantized_multiplier(1024 * row - mean, inverse, -right)
        weighted = fp.wrap_int32(rescaled * self.coefficients + self.bias)
        halved = np.where(weighted > 0, weighted + 512, weighted - 512)
        rounded = np.where(halved < 0, -(-halved // 1024), halved // 1024)
        return _clip16(fp.multiply_by_quantized_multiplier(rounded, self.multiplier, self.shift + 12))


@dataclass(frozen=True, slots=True)
class _Gate:
    inputs: _Product
    recurrent: _Product
    peephole: tuple[Array, int, int] | None = None
    norm: _Norm | None = None


@dataclass(frozen=True, slots=True)
class IntegerCell:
    """TFLite's cell; `step` has the signature of `lstm_layout.Step`."""

    gates: tuple[_Gate | None, ...]
    cell_log2: int
    cell_clip: int
    hidden: tuple[int, int, int]
    projection: _Product | None
    projection_clip: int
    output_zero: int

    def step(self, x: Array, _extra: Array | None, output: Array, cell: Array) -> tuple[Array, Array]:
        cell = cell.astype(np.int64)
        forget = self._gate(FORGET, x, output, cell)
        chosen = 32767 - forget if self.gates[INPUT] is None else self._gate(INPUT, x, output, cell)
        update = self._gate(CELL, x, output, cell)
        kept = _wrap16(fp.rounding_divide_by_pot(forget * cell, 15))
        added = _wrap16(fp.rounding_divide_by_pot(chosen * update, 30 + self.cell_log2))
        cell = _clip16(kept + added)
        if self.cell_clip > 0:
            cell = np.clip(cell, -self.cell_clip, self.cell_clip)
        opened = self._gate(OUTPUT, x, output, cell)
        return self._output(opened, cell), cell.astype(np.int16)

    def _gate(self, index: int, x: Array, output: Array, cell: Array) -> Array:
        gate = self.gates[index]
        assert gate is not None
        total = _clip16(_clip16(gate.inputs(x)) + gate.recurrent(output))
        if gate.peephole is not None:
            weights, multiplier, shift = gate.peephole
            total = _clip16(total + fp.multiply_by_quantized_multiplier(weights * cell, multiplier, shift))
        if gate.norm is not None:
            total = gate.norm(total)
        return functions.tanh(total, 3, 16) if index == CELL else functions.logistic(total, 3, 16)

    def _output(self, opened: Array, cell: Array) -> Array:
        multiplier, shift, zero = self.hidden
        squashed = functions.tanh(cell, 15 + self.cell_log2, 16)
        scaled = fp.multiply_by_quantized_multiplier(opened * squashed, multiplier, shift)
        if self.projection is None:
            plain: Array = np.clip(scaled + zero, -128, 127).astype(np.int8)
            return plain
        total = self.projection(np.clip(scaled - zero, -128, 127)) + self.output_zero
        total = np.clip(total, -128, 127)
        if self.projection_clip > 0:
            total = np.clip(total, -self.projection_clip, self.projection_clip)
        stored: Array = total.astype(np.int8)
        return stored


@dataclass(frozen=True, slots=True)
class MicroCell:
    """TFLite Micro's cell; `step` has the signature of `lstm_layout.Step`."""

    gates: tuple[_Gate, ...]
    cell_scale: float
    cell_clip: int
    products: tuple[tuple[int, int], ...]
    output: Tensor

    def step(self, x: Array, _extra: Array | None, output: Array, cell: Array) -> tuple[Array, Array]:
        forget, chosen, update = (self._gate(g, x, output) for g in (FORGET, INPUT, CELL))
        kept = self._multiply(0, forget, cell)
        cell = _clip16(_clip16(kept) + _clip16(self._multiply(1, chosen, update)))
        if self.cell_clip > 0:
            cell = np.clip(cell, -self.cell_clip, self.cell_clip)
        opened = self._gate(OUTPUT, x, output).astype(np.int64)
        hidden = self._multiply(2, tanh_16(cell, self.cell_scale), opened) + zero_point(self.output)
        low, high = fp.integer_range(str(self.output.dtype))
        return np.clip(hidden, low, high).astype(str(self.output.dtype)), cell.astype(np.int16)

    def _multiply(self, index: int, a: Array, b: Array) -> Array:
        return fp.multiply_by_quantized_multiplier(a.astype(np.int64) * b, *self.products[index])

    def _gate(self, index: int, x: Array, output: Array) -> Array:
        gate = self.gates[index]
        total = _clip16(_clip16(gate.inputs(x)) + _clip16(gate.recurrent(output)))
        return (tanh_16 if index == CELL else logistic_16)(total, _GATE_SCALE)


def is_plain(node: Node) -> bool:
    """Does TFLite Micro run this layer?"""
    absent = (*range(9, 12), 16, 17, *range(20, 24))
    whole = all(node.optional(i) is not None for i in (*range(1, 9), *range(12, 16)))
    return node.op == "unidirectional_sequence_lstm" and whole and not any(map(node.optional, absent))


def _product(
    node: Node, arrays: Arrays, weights: int, source: Tensor, scale: float, bias: int | None
) -> _Product:
    values, added = at(arrays, weights), at(arrays, bias)
    assert values is not None
    effective = float(_scale(node.input(weights)) * _scale(source) / np.float32(scale))
    if is_plain(node):
        effective = float(_scale(node.input(weights))) * float(_scale(source)) / scale
    multiplier, shift = fp.quantize_multiplier(effective)
    wide = None if added is None else added.astype(np.int64)
    return _Product(
        values.astype(np.float64), wide, multiplier, shift, zero_point(source), source.dtype is DType.INT16
    )


def _gate(node: Node, arrays: Arrays, gate: int) -> _Gate | None:
    if at(arrays, FULL.inputs + gate) is None:
        return None
    assert FULL.norm is not None
    norm = at(arrays, FULL.norm + gate)
    scale = _GATE_SCALE if norm is None else float(_scale(node.intermediates[gate]))
    bias = FULL.bias + gate
    return _Gate(
        _product(node, arrays, FULL.inputs + gate, node.input(0), scale, bias if norm is None else None),
        _product(node, arrays, FULL.recurrent + gate, node.input(FULL.output_state), scale, None),
        _peephole(node, arrays, gate, scale),
        None if norm is None else _norm(node, arrays, gate, norm),
    )


def _peephole(node: Node, arrays: Arrays, gate: int, scale: float) -> tuple[Array, int, int] | None:
    index = FULL.peephole_of(gate)
    weights = at(arrays, index)
    if weights is None or index is None:
        return None
    effective = np.float32(2.0 ** _cell_log2(node) * float(_scale(node.input(index))) / scale)
    return (weights.astype(np.int64), *fp.quantize_multiplier(float(effective)))


def _norm(node: Node, arrays: Arrays, gate: int, coefficients: Array) -> _Norm:
    assert FULL.norm is not None
    bias, scale = at(arrays, FULL.bias + gate), _scale(node.input(FULL.norm + gate))
    assert bias is not None
    guard = max(1, int(np.float32(10000) * scale))
    return _Norm(
        coefficients.astype(np.int64), bias.astype(np.int64), *fp.quantize_multiplier(float(scale)), guard
    )


def _cell_log2(node: Node) -> int:
    """The cell state's scale is a power of two, and its tanh has 0 to 6 integer bits."""
    scale = float(_scale(node.input(FULL.cell_state)))
    log2 = round(float(np.log2(scale)))
    if abs(scale - 2.0**log2) > 1e-3 * scale or not 0 <= 15 + log2 <= 6:
        raise UnsupportedError(
            f"{node.where}: a cell state scale of {scale}; 2**-15 to 2**-9 can be computed"
        )
    return log2


def _clip(node: Node, name: str, tensor: Tensor, limit: int) -> int:
    """A clipping attribute in stored units; 0 for none."""
    real = np.float32(attr(node, name, 0.0))
    return int(min(real / _scale(tensor), np.float32(limit))) if real > 0 else 0


def integer_cell(node: Node, arrays: Arrays) -> IntegerCell | MicroCell:
    """The cell of a node whose activations are integers."""
    if not is_plain(node) and (node.input(0).dtype is not DType.INT8 or len(node.intermediates) != 5):
        raise UnsupportedError(
            f"{node.where}: integer layers beyond the plain ones need int8 activations and five intermediates"
        )
    gates = tuple(_gate(node, arrays, gate) for gate in range(4))
    cell, result = node.input(FULL.cell_state), node.outputs[0]
    clip = _clip(node, "cell_clip", cell, 32767)
    whole = tuple(g for g in gates if g is not None)
    if is_plain(node):
        scale, state = float(_scale(cell)), node.input(FULL.output_state)
        effective = (_UNIT * scale / scale, _UNIT * _UNIT / scale, _UNIT * _UNIT / float(_scale(state)))
        return MicroCell(whole, scale, clip, tuple(map(fp.quantize_multiplier, effective)), state)
    hidden = node.intermediates[4]
    effective_hidden = np.float32(_UNIT / float(_scale(hidden)) * _UNIT)
    return IntegerCell(
        gates,
        _cell_log2(node),
        clip,
        (*fp.quantize_multiplier(float(effective_hidden)), zero_point(hidden)),
        _projection(node, arrays, hidden),
        _clip(node, "proj_clip", result, 127),
        zero_point(node.input(FULL.output_state)),
    )


def _projection(node: Node, arrays: Arrays, hidden: Tensor) -> _Product | None:
    """The hidden vector comes with its zero point taken off twice, and the sum adds it back, as in TFLite."""
    weights, bias = at(arrays, FULL.projection), at(arrays, FULL.projection + 1)
    if weights is None:
        return None
    state = node.input(FULL.output_state)
    effective = _scale(node.input(FULL.projection)) * _scale(hidden) / _scale(state)
    added = None if bias is None else bias.astype(np.int64)
    scaled = fp.quantize_multiplier(float(effective))
    return _Product(weights.astype(np.float64), added, *scaled, -zero_point(hidden))
