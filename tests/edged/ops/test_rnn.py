"""Simple recurrent layers with their states over several calls, against LiteRT."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.graph.model import Model, Tensor
from edged.graph.ops import table
from support.agreement import COUNTS, property_test
from support.build import constant, one_op, quant, random_weights, tensor

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)
TIGHT, LOOSE = {"rtol": 1e-4, "atol": 1e-4}, {"rtol": 2e-2, "atol": 2e-2}
"""Hybrid states are quantised anew in every step: a value on the border of two may fall on either side."""
KINDS = pytest.mark.parametrize(("hybrid", "asymmetric"), [(False, False), (True, False), (True, True)])


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


@MANY
@KINDS
@pytest.mark.parametrize("make", [one_step, sequence])
def test_one_way(make: Any, hybrid: bool, asymmetric: bool, count: int) -> None:
    limits = LOOSE if hybrid else TIGHT
    property_test(partial(make, hybrid=hybrid, asymmetric=asymmetric), count, calls=2, **limits)


@MANY
@pytest.mark.parametrize(
    ("auxiliary", "hybrid"),
    [("none", False), ("none", True), ("weighted", False), ("weighted", True), ("linked", False)],
)
@pytest.mark.parametrize("asymmetric", [False, True])
def test_both_ways(auxiliary: str, hybrid: bool, asymmetric: bool, count: int) -> None:
    make = partial(both_ways, hybrid=hybrid, asymmetric=asymmetric, auxiliary=auxiliary)
    property_test(make, count, calls=2, **(LOOSE if hybrid else TIGHT))


@pytest.mark.parametrize("make", [one_step, sequence, partial(both_ways, auxiliary="none")])
def test_inferred_shapes_are_the_outputs(make: Any) -> None:
    for seed in range(10):
        node = make(np.random.default_rng(seed), hybrid=False, asymmetric=False).main.nodes[0]
        shapes = [None if t is None else t.shape for t in node.inputs]
        inferred = table()[node.op].infer(node, shapes, lambda _i: None)
        assert list(inferred) == [t.shape for t in node.outputs]
