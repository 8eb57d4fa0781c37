"""Recurrent layers: SVDF and LSTM; `cells` has the general LSTM and the RNNs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node
from edged.graph.ops.lut import input_steps, logistic_table
from edged.graph.ops.spec import attr
from edged_backends.lower.cells import lower_hybrid_svdf, lower_lstm_cell
from edged_backends.lower.integer_cells import lower_basic_lstm, lower_integer_lstm
from edged_backends.lower.scale import clamp_f32, multiplier
from edged_backends.lowering import Lowering, Quant
from edged_backends.operands import Ref

_INTEGER = {
    (DType.INT8, DType.INT8, DType.INT16, DType.INT16): "svdf_s8_s16",
    (DType.INT8, DType.INT8, DType.INT8, DType.INT8): "svdf_s8_s8",
}
"""By the types of input, feature weights, time weights and state."""
_HYBRID = {(DType.FLOAT32, DType.INT8), (DType.FLOAT32, DType.UINT8)}


def lower_svdf(lowering: Lowering, node: Node) -> str | None:
    source, feature, time, state = (node.input(i) for i in (0, 1, 2, 4))
    kinds = (source.dtype, feature.dtype, time.dtype, state.dtype)
    if kinds[:2] in _HYBRID and state.dtype is DType.FLOAT32:
        return lower_hybrid_svdf(lowering, node)
    rank = int(attr(node, "rank", 1))
    shape: dict[str, int | float] = {
        "depth": source.shape[1], "units": feature.shape[0] // rank, "rank": rank, "memory": time.shape[1],
    }  # fmt: skip
    if set(kinds) == {DType.FLOAT32}:
        low, high = clamp_f32(node)
        op, own = "svdf_f32", {"low": low, "high": high}
    elif kinds in _INTEGER:
        op, own = _INTEGER[kinds], _integer_params(lowering, node)
    else:
        return f"an SVDF of {', '.join(map(str, kinds))}"
    bias = node.optional(3)
    refs = [lowering.ref(node.outputs[0]), *(lowering.ref(t) for t in (state, source, feature, time))]
    refs_with_bias = [*refs, None if bias is None else lowering.ref(bias)]
    units = source.shape[0] * int(shape["units"])
    lowering.step(op, {**shape, **own}, refs_with_bias, units=units, writes=2)
    return None


def _integer_params(lowering: Lowering, node: Node) -> dict[str, float]:
    source, feature, time, state = (lowering.internal(node.input(i)) for i in (0, 1, 2, 4))
    output = lowering.internal(node.outputs[0])
    mul_in, shift_in = multiplier(_effective(source, feature, state))
    mul_out, shift_out = multiplier(_effective(state, time, output))
    return {
        "zero_in": source.zero_point, "zero_state": state.zero_point, "zero_out": output.zero_point,
        "mul_in": mul_in, "shift_in": shift_in, "mul_out": mul_out, "shift_out": shift_out,
    }  # fmt: skip


def _effective(a: Quant, b: Quant, to: Quant) -> float:
    """TFLite computes these scales in float32."""
    return float(np.float32(a.scale) * np.float32(b.scale) / np.float32(to.scale))


# ---- LSTM ----

_INPUT_WEIGHTS, _RECURRENT_WEIGHTS, _BIASES = range(1, 5), range(5, 9), range(12, 16)
_ABSENT = (*range(9, 12), 16, 17, *range(20, 24))
"""Inputs of peepholes, projection and layer normalisation."""
_GATE_SCALE, _UNIT = 2.0**-12, 2.0**-15


def lower_lstm(lowering: Lowering, node: Node) -> str | None:
    """A plain layer by the kernels for those, any other layer of floats by the general one."""
    if attr(node, "kernel_type", "FULL") == "BASIC":
        return lower_basic_lstm(lowering, node)
    kinds = (node.input(0).dtype, node.input(1 if node.optional(1) else 2).dtype, node.input(19).dtype)
    if _plain(node) and kinds == (DType.FLOAT32,) * 3:
        _lstm_f32(lowering, node)
        return None
    integers = kinds == (DType.INT8, DType.INT8, DType.INT16)
    if _plain(node) and integers and node.op == "unidirectional_sequence_lstm":
        _lstm_s8(lowering, node)
        return None
    if node.input(0).dtype is not DType.FLOAT32:
        return lower_integer_lstm(lowering, node)
    return lower_lstm_cell(lowering, node)


def _plain(node: Node) -> bool:
    """All four gates, nothing beside them, constant weights, TANH."""
    weighted = [node.optional(i) for i in (*_INPUT_WEIGHTS, *_RECURRENT_WEIGHTS, *_BIASES)]
    return (
        not any(node.optional(i) is not None for i in _ABSENT)
        and all(t is not None and t.constant for t in weighted)
        and attr(node, "fused_activation_function", "NONE") == "TANH"
        and len(node.input(5).shape) == 2
    )


def _sizes(node: Node) -> dict[str, int | float]:
    shape, major = node.input(0).shape, bool(attr(node, "time_major", False))
    batch, steps = (
        (shape[1], shape[0]) if major else (shape[0], shape[1]) if len(shape) == 3 else (shape[0], 1)
    )
    return {
        "batch": batch, "steps": steps, "depth": shape[-1], "units": node.input(5).shape[0],
        "time_major": int(major),
    }  # fmt: skip


def _stacked(lowering: Lowering, node: Node, indices: range) -> Array:
    return np.stack([_value(lowering, node, i) for i in indices])


def _value(lowering: Lowering, node: Node, index: int) -> Array:
    value = lowering.value(node.input(index))
    assert value is not None
    return value


def _lstm_f32(lowering: Lowering, node: Node) -> None:
    params = {**_sizes(node), "cell_clip": float(attr(node, "cell_clip", 0.0))}
    weights = [_stacked(lowering, node, r).transpose(2, 0, 1) for r in (_INPUT_WEIGHTS, _RECURRENT_WEIGHTS)]
    arrays = [*map(np.ascontiguousarray, weights), _stacked(lowering, node, _BIASES)]
    _lstm_step(lowering, node, "lstm_f32", params, [lowering.const(a) for a in arrays], 4)


def _lstm_step(
    lowering: Lowering,
    node: Node,
    op: str,
    params: dict[str, int | float],
    constants: list[Ref],
    element: int,
) -> None:
    refs = [lowering.ref(t) for t in (node.outputs[0], node.input(18), node.input(19), node.input(0))]
    scratch = 4 * int(params["units"]) * element
    lowering.step(op, params, [*refs, *constants], units=int(params["batch"]), scratch=scratch, writes=3)


def _lstm_s8(lowering: Lowering, node: Node) -> None:
    source, state, cell = (lowering.internal(node.input(i)) for i in (0, 18, 19))
    weights, recurrent = (_stacked(lowering, node, r) for r in (_INPUT_WEIGHTS, _RECURRENT_WEIGHTS))
    bias = _stacked(lowering, node, _BIASES).astype(np.int64)
    folded = np.stack(
        [
            bias - source.zero_point * weights.sum(axis=2, dtype=np.int64),
            -state.zero_point * recurrent.sum(axis=2, dtype=np.int64),
        ]
    )
    params = {**_sizes(node), "zero_out": state.zero_point, "cell_clip": _clip(node, cell)}
    for gate in range(4):
        params[f"mi{gate}"], params[f"si{gate}"] = _gate_factor(lowering, node, 1 + gate, source)
        params[f"mr{gate}"], params[f"sr{gate}"] = _gate_factor(lowering, node, 5 + gate, state)
    c, h = float(np.float32(cell.scale)), float(np.float32(state.scale))
    for i, real in enumerate((_UNIT * c / c, _UNIT * _UNIT / c, _UNIT * _UNIT / h)):
        params[f"mp{i}"], params[f"sp{i}"] = multiplier(real)
    params["cell_multiplier"], params["cell_shift"] = input_steps(c, (0, 1))
    constants = [
        lowering.const(a)
        for a in (weights, recurrent, folded.astype(np.int32), logistic_table().astype(np.int32))
    ]
    _lstm_step(lowering, node, "lstm_s8", params, constants, 2)


def _gate_factor(lowering: Lowering, node: Node, index: int, source: Quant) -> tuple[int, int]:
    weights = lowering.internal(node.input(index))
    return multiplier(float(np.float32(weights.scale) * np.float32(source.scale) / np.float32(_GATE_SCALE)))


def _clip(node: Node, cell: Quant) -> int:
    real = np.float32(attr(node, "cell_clip", 0.0))
    return int(min(real / np.float32(cell.scale), np.float32(32767))) if real > 0 else 0


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "svdf": lower_svdf, "unidirectional_sequence_lstm": lower_lstm, "lstm": lower_lstm,
}  # fmt: skip
