"""Random RNN layers: one step, a sequence, both directions; floats and hybrid."""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.model import Model, Tensor
from support.build import constant, one_op, quant, random_weights, tensor

Rng = np.random.Generator


def _weights(rng: Rng, hybrid: bool, shape: tuple[int, ...]) -> Tensor:
    if hybrid:
        return constant("int8", random_weights(rng, "int8", shape), quant(0.01))
    return constant("float32", rng.normal(size=shape) * 0.3)


def _cell(rng: Rng, hybrid: bool, batch: int, depth: int, units: int) -> list[Tensor]:
    """Weights, recurrent weights, bias, state."""
    return [
        _weights(rng, hybrid, (units, depth)),
        _weights(rng, hybrid, (units, units)),
        constant("float32", rng.normal(size=units)),
        tensor("float32", (batch, units), variable=True),
    ]


def _attrs(rng: Rng, asymmetric: bool) -> dict[str, Any]:
    activation = str(rng.choice(["NONE", "RELU", "TANH"]))
    return {"fused_activation_function": activation, "asymmetric_quantize_inputs": asymmetric}


def _sizes(rng: Rng) -> tuple[int, int, int, int]:
    """Batch, time, depth, units."""
    batch, time, depth, units = (int(rng.integers(1, n)) for n in (4, 6, 12, 9))
    return batch, time, depth, units


def one_step(rng: Rng, hybrid: bool, asymmetric: bool) -> Model:
    batch, _, depth, units = _sizes(rng)
    inputs = [("float32", (batch, depth)), *_cell(rng, hybrid, batch, depth, units)]
    return one_op("rnn", inputs, [("float32", (batch, units))], _attrs(rng, asymmetric))


def sequence(rng: Rng, hybrid: bool, asymmetric: bool) -> Model:
    batch, time, depth, units = _sizes(rng)
    major = bool(rng.random() < 0.5)
    lead = (time, batch) if major else (batch, time)
    inputs = [("float32", (*lead, depth)), *_cell(rng, hybrid, batch, depth, units)]
    attrs = _attrs(rng, asymmetric) | {"time_major": major}
    return one_op("unidirectional_sequence_rnn", inputs, [("float32", (*lead, units))], attrs)


def both_ways(rng: Rng, hybrid: bool, asymmetric: bool, auxiliary: str) -> Model:
    """`auxiliary`: none, weighted, or linked (the backward cell's own input).

    Where LiteRT errs, it is kept out: the auxiliary input has the main one's depth, linked ones are time-major,
    hybrid layers batch-major (of time-major ones LiteRT runs the whole sequence once for every step).
    """
    batch, time, depth, units = _sizes(rng)
    others, major, merge = int(rng.integers(1, 9)), bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    major = (major or auxiliary == "linked") and not hybrid
    lead = (time, batch) if major else (batch, time)
    extra: list[Any] = [None, None, None]
    if auxiliary != "none":
        extra[0] = ("float32", (*lead, depth))
    if auxiliary == "weighted":
        extra[1:] = [_weights(rng, hybrid, (units, depth)), _weights(rng, hybrid, (others, depth))]
    cells = [*_cell(rng, hybrid, batch, depth, units), *_cell(rng, hybrid, batch, depth, others)]
    ends = [units + others] if merge else [units, others]
    attrs = _attrs(rng, asymmetric) | {"time_major": major, "merge_outputs": merge}
    inputs = [("float32", (*lead, depth)), *cells, *extra]
    return one_op("bidirectional_sequence_rnn", inputs, [("float32", (*lead, n)) for n in ends], attrs)
