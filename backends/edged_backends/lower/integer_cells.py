"""Integer LSTM layers beyond the plain int8 ones (int8 with any optional part, plain int16x8), and LSTM's
basic kernel.

Their fixed-point constants are those of the reference: `integer_cell` makes them, the kernels lstm_integer
and lstm_s16 read them from a table. No rule stands here; `recurrent` calls these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edged.errors import UnsupportedError
from edged.graph.arrays import Array
from edged.graph.model import DType, Node
from edged.graph.ops.fixedpoint import quantize_multiplier
from edged.graph.ops.lstm_integer import IntegerCell, MicroCell, integer_cell
from edged.graph.ops.lut import input_steps, logistic_table
from edged.graph.ops.spec import attr
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref

_STATES = (18, 19)
_INT32 = np.iinfo(np.int32)


def lower_integer_lstm(lowering: Lowering, node: Node) -> str | None:
    """Why not, or None: one step."""
    reason = _refusal(lowering, node)
    if reason:
        return reason
    arrays = [_constant(lowering, node, i) for i in range(len(node.inputs))]
    try:
        cell = integer_cell(node, arrays)
    except UnsupportedError as error:
        return str(error)
    if isinstance(cell, MicroCell):
        return _lower_micro(lowering, node, cell)
    _lower_cell(lowering, node, cell)
    return None


def _refusal(lowering: Lowering, node: Node) -> str | None:
    if node.input(0).dtype not in (DType.INT8, DType.INT16):
        return f"an LSTM of {node.input(0).dtype}"
    given = [t for i, t in enumerate(node.inputs) if t is not None and i and i not in _STATES]
    if any(lowering.value(t) is None for t in given):
        return "an LSTM with weights known only at run time"
    matrices = {t.dtype for t in given if len(t.shape) == 2}
    if matrices != {DType.INT8}:
        return f"an LSTM of integers with weights of {', '.join(sorted(map(str, matrices)))}"
    if len(node.input(6).shape) != 2:
        return "an LSTM of integers with diagonal recurrent weights"
    return None


def _constant(lowering: Lowering, node: Node, index: int) -> Array | None:
    tensor = node.optional(index)
    return None if tensor is None or index == 0 or index in _STATES else lowering.value(tensor)


def _sizes(node: Node) -> dict[str, int | float]:
    shape, major = node.input(0).shape, bool(attr(node, "time_major", False))
    one = len(shape) == 2
    batch, steps = (shape[0], 1) if one else (shape[1], shape[0]) if major else (shape[0], shape[1])
    return {
        "batch": batch, "steps": steps, "depth": shape[-1], "units": node.input(19).shape[-1],
        "time_major": int(major or one),
    }  # fmt: skip


def _states(lowering: Lowering, node: Node) -> list[Ref]:
    return [lowering.ref(t) for t in (node.outputs[0], node.input(18), node.input(19), node.input(0))]


# ---- int8, any part ----


def _lower_cell(lowering: Lowering, node: Node, cell: IntegerCell) -> None:
    gates = [gate for gate in cell.gates if gate is not None]
    multiplier, shift, zero = cell.hidden
    units, projection = node.input(19).shape[-1], cell.projection
    params = {
        **_sizes(node), "outputs": node.input(18).shape[-1], "coupled": int(len(gates) == 3),
        "cell_bits": 15 + cell.cell_log2, "cell_clip": cell.cell_clip, "hidden_multiplier": multiplier,
        "hidden_shift": shift, "zero_hidden": zero, "zero_out": cell.output_zero,
        "projection_multiplier": 0 if projection is None else projection.multiplier,
        "projection_shift": 0 if projection is None else projection.shift,
        "projection_clip": cell.projection_clip,
    }  # fmt: skip
    norms = [gate.norm for gate in gates if gate.norm is not None]
    seen = [cell.gates[i] for i in (0, 1, 3)]
    peepholes = [None if gate is None or gate.peephole is None else gate.peephole[0] for gate in seen]
    constants = [
        *_matrices(lowering, gates),
        _const(lowering, _biases(gates)),
        None
        if not any(p is not None for p in peepholes)
        else _const(lowering, np.stack([np.zeros(units) if p is None else p for p in peepholes]), np.int16),
        _const(lowering, np.stack([n.coefficients for n in norms]), np.int16) if norms else None,
        _const(lowering, np.stack([n.bias for n in norms])) if norms else None,
        None if projection is None else _const(lowering, projection.weights, np.int8),
        None if projection is None else _const(lowering, _folded(projection)),
        _const(lowering, np.array([_factors(gate) for gate in cell.gates])),
    ]
    lowering.step(
        "lstm_integer", params, [*_states(lowering, node), *constants], units=int(params["batch"]),
        scratch=9 * units, writes=3,
    )  # fmt: skip


def _matrices(lowering: Lowering, gates: Sequence[Any]) -> list[Ref]:
    return [
        _const(lowering, np.stack([g.inputs.weights for g in gates]), np.int8),
        _const(lowering, np.stack([g.recurrent.weights for g in gates]), np.int8),
    ]


def _const(lowering: Lowering, values: Array, dtype: type[np.generic] = np.int32) -> Ref:
    return lowering.const(values.astype(dtype))


def _biases(gates: Sequence[Any]) -> Array:
    """[2, gates, units]: of the input products, of the recurrent ones."""
    return np.stack([[_folded(gate.inputs) for gate in gates], [_folded(gate.recurrent) for gate in gates]])


def _folded(product: Any) -> Array:
    """The bias less the zero point's share: sums wrap as 32-bit registers do."""
    total = -product.offset * product.weights.astype(np.int64).sum(axis=1)
    total = total if product.bias is None else total + product.bias
    wrapped: Array = total if product.wide else total.astype(np.int32)
    return wrapped


def _factors(gate: Any) -> list[int]:
    """A gate's row of the kernel's table."""
    if gate is None:
        return [0] * 9
    peephole = (0, 0) if gate.peephole is None else gate.peephole[1:]
    norm = (0, 0, 1) if gate.norm is None else (gate.norm.multiplier, gate.norm.shift, gate.norm.guard)
    products = (gate.inputs.multiplier, gate.inputs.shift, gate.recurrent.multiplier, gate.recurrent.shift)
    return [*products, *peephole, *norm]


# ---- int16 activations, plain ----


def _lower_micro(lowering: Lowering, node: Node, cell: MicroCell) -> str | None:
    if node.input(0).dtype is not DType.INT16:
        return "a plain LSTM of int8 whose activation is not TANH"
    multiplier, shift = input_steps(cell.cell_scale, (0, 1))
    params = {
        **_sizes(node), "cell_clip": cell.cell_clip, "cell_multiplier": multiplier, "cell_shift": shift,
        "zero_out": lowering.internal(cell.output).zero_point,
    }  # fmt: skip
    for i, (scale, places) in enumerate(cell.products):
        params[f"mp{i}"], params[f"sp{i}"] = scale, places
    constants = [
        *_matrices(lowering, cell.gates),
        _const(lowering, _biases(cell.gates), np.int64),
        lowering.const(logistic_table().astype(np.int32)),
        _const(lowering, np.array([_factors(gate)[:4] for gate in cell.gates])),
    ]
    lowering.step(
        "lstm_s16", params, [*_states(lowering, node), *constants], units=int(params["batch"]),
        scratch=8 * int(params["units"]), writes=3,
    )  # fmt: skip
    return None


# ---- the basic kernel ----

_BASIC = {
    (DType.FLOAT32,) * 3: "lstm_basic_f32",
    (DType.INT8, DType.INT8, DType.INT16): "lstm_basic_s8",
}
"""By the types of input, weights and state, as a program sees them."""


def lower_basic_lstm(lowering: Lowering, node: Node) -> str | None:
    """LSTM with kernel_type BASIC: one step, then copies to the variables that keep its states."""
    source, previous, weights, bias, state = (node.input(i) for i in range(5))
    quants = [lowering.internal(t) for t in (source, weights, state)]
    op = _BASIC.get((quants[0].dtype, quants[1].dtype, quants[2].dtype))
    outputs = node.outputs
    if op is None or len(outputs) != 4:
        return f"the basic kernel of LSTM of {source.dtype} with {len(outputs)} outputs"
    if lowering.value(weights) is None or lowering.value(bias) is None:
        return "an LSTM with weights known only at run time"
    params = {
        "depth": source.shape[-1], "units": previous.shape[-1], "zero_in": 0, "zero_weights": 0,
        "multiplier": 0, "shift": 0,
    }  # fmt: skip
    if op == "lstm_basic_s8":
        scale = lowering.internal(bias).scale
        multiplier, shift = quantize_multiplier(float(np.float32(4096) * np.float32(scale)))
        params |= {"multiplier": multiplier, "shift": shift, "zero_weights": quants[1].zero_point}
    refs = [lowering.ref(t) for t in (*outputs, source, previous, weights, bias, state)]
    lowering.step(op, params, refs, units=source.shape[0], writes=4)
    for kept, made in ((previous, outputs[0]), (state, outputs[1])):
        if kept.variable:
            lowering.copy(lowering.ref(kept), lowering.ref(made), f"kept in {kept.name}")
    return None
