"""LSTM layers with their states over several calls: every optional part, floats, hybrid and integers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.errors import UnsupportedError
from edged.graph.evaluate import evaluate_node
from edged.graph.ops import table
from support.agreement import COUNTS, MICRO, property_test
from support.build import random_array
from support.lstm_models import PARTS, SEQUENCE, STEP, basic_model, both_ways, float_model, integer_model

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)


@MANY
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("op", [SEQUENCE, STEP])
def test_float(op: str, parts: str, count: int) -> None:
    property_test(partial(float_model, parts=parts, op=op), count, calls=2, atol=5e-6)


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("op", [SEQUENCE, STEP])
def test_hybrid(op: str, parts: str, asymmetric: bool) -> None:
    """States are quantised anew in every step: a value on the border of two steps may fall on either side."""
    make = partial(float_model, parts=parts, op=op, hybrid=True, asymmetric=asymmetric)
    property_test(make, 10, calls=2, rtol=1e-2, atol=2e-3)


@MANY
@pytest.mark.parametrize("parts", ["cifg", "peephole", "projection", "norm", "cifg projection norm"])
def test_integer(parts: str, count: int) -> None:
    property_test(partial(integer_model, parts=parts), count, calls=2)


@MANY
@pytest.mark.parametrize("parts", ["", "peephole", "cifg projection norm"])
def test_integer_step(parts: str, count: int) -> None:
    property_test(partial(integer_model, parts=parts, op=STEP), count, calls=3)


@MANY
@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_plain_integer_layers_as_micro(kind: str, count: int) -> None:
    property_test(partial(integer_model, parts="", kind=kind), count, calls=2, oracle=MICRO)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("auxiliary", ["none", "weighted", "linked"])
@pytest.mark.parametrize("parts", ["", "cifg peephole", "projection"])
def test_both_ways(parts: str, auxiliary: str, hybrid: bool) -> None:
    make = partial(both_ways, parts=parts, hybrid=hybrid, auxiliary=auxiliary)
    loose = {"rtol": 1e-2, "atol": 2e-3} if hybrid else {"atol": 5e-6}
    property_test(make, 10, calls=2, **loose)


@MANY
@pytest.mark.parametrize("integer", [False, True])
def test_basic_kernel(integer: bool, count: int) -> None:
    property_test(partial(basic_model, integer=integer), count, calls=3, atol=5e-6)


@pytest.mark.parametrize(
    "make",
    [
        partial(float_model, parts="projection"),
        partial(float_model, parts="", op=STEP),
        partial(both_ways, parts="", hybrid=False, auxiliary="none"),
        partial(basic_model, integer=False),
    ],
)
def test_inferred_shapes_are_the_outputs(make: Any) -> None:
    for seed in range(10):
        node = make(np.random.default_rng(seed)).main.nodes[0]
        shapes = [None if t is None else t.shape for t in node.inputs]
        inferred = table()[node.op].infer(node, shapes, lambda _i: None)
        assert list(inferred) == [t.shape for t in node.outputs]


def test_results_are_outputs_then_states_in_input_order() -> None:
    node = float_model(np.random.default_rng(0), "projection").main.nodes[0]
    rng = np.random.default_rng(1)
    arrays = [None if t is None else random_array(rng, t.dtype, t.shape) for t in node.inputs]
    results = evaluate_node(node, arrays)
    states = [t.shape for t in node.inputs if t is not None and t.variable]
    assert [r.shape for r in results] == [node.outputs[0].shape, *states]


def test_integer_layers_of_other_kinds_are_refused_with_the_reason() -> None:
    node = integer_model(np.random.default_rng(0), "norm").main.nodes[0]
    rng = np.random.default_rng(1)
    arrays = [None if t is None else random_array(rng, t.dtype, t.shape) for t in node.inputs]
    with pytest.raises(UnsupportedError, match="need int8 activations and five intermediates"):
        evaluate_node(replace(node, intermediates=node.intermediates[:2]), arrays)
