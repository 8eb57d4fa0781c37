"""SVDF with its state over several calls, against LiteRT and TFLite Micro."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from edged.errors import ShapeError
from edged.graph.model import Model
from edged.graph.ops import table
from support.agreement import COUNTS, LITERT, MICRO, property_test
from support.build import constant, one_op, quant, random_array, random_weights, tensor

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)


def _sizes(rng: Rng) -> tuple[int, int, int, int, int]:
    """Batch, depth, units, memory, rank."""
    batch, depth, units, memory, rank = (
        int(rng.integers(low, high)) for low, high in ((1, 4), (1, 20), (1, 8), (2, 10), (1, 4))
    )
    return batch, depth, units, memory, rank


def float_model(rng: Rng, hybrid: bool, asymmetric: bool) -> Model:
    batch, depth, units, memory, rank = _sizes(rng)
    filters = units * rank
    feature, time = constant("float32", rng.normal(size=(filters, depth))), None
    if hybrid:
        feature = constant("int8", random_weights(rng, "int8", (filters, depth)), quant(0.02))
        time = constant("int8", random_weights(rng, "int8", (filters, memory)), quant(0.03))
    time = time or constant("float32", rng.normal(size=(filters, memory)))
    bias = constant("float32", rng.normal(size=units)) if rng.random() < 0.7 else None
    state = tensor("float32", (batch, filters * memory), variable=True)
    activation = str(rng.choice(["NONE", "RELU", "TANH", "RELU6"]))
    attrs = {"rank": rank, "fused_activation_function": activation, "asymmetric_quantize_inputs": asymmetric}
    inputs = [("float32", (batch, depth)), feature, time, bias, state]
    return one_op("svdf", inputs, [("float32", (batch, units))], attrs)


def integer_model(rng: Rng, state_kind: str) -> Model:
    batch, depth, units, memory, rank = _sizes(rng)
    filters, coarse = units * rank, 100 if state_kind == "int8" else 1
    state_scale, time_scale = rng.uniform(0.0005, 0.002) * coarse, rng.uniform(0.0001, 0.001) * coarse
    inputs = [
        tensor("int8", (batch, depth), quant(rng.uniform(0.01, 0.1), int(rng.integers(-100, 100)))),
        constant("int8", random_array(rng, "int8", (filters, depth)), quant(rng.uniform(0.002, 0.02))),
        constant(state_kind, random_array(rng, state_kind, (filters, memory)), quant(time_scale)),
        constant("int32", rng.integers(-3000, 3000, units), quant(state_scale * time_scale)),
        tensor(state_kind, (batch, filters * memory), quant(state_scale), variable=True),
    ]
    result = tensor("int8", (batch, units), quant(rng.uniform(0.1, 1), -128))
    return one_op("svdf", inputs, [result], {"rank": rank, "fused_activation_function": "RELU"})


@MANY
@pytest.mark.parametrize(("hybrid", "asymmetric"), [(False, False), (True, False), (True, True)])
def test_float_and_hybrid(hybrid: bool, asymmetric: bool, count: int) -> None:
    property_test(partial(float_model, hybrid=hybrid, asymmetric=asymmetric), count, calls=3, atol=1e-5)


@MANY
def test_int16_state(count: int) -> None:
    property_test(partial(integer_model, state_kind="int16"), count, calls=3, oracle=LITERT)
    property_test(partial(integer_model, state_kind="int16"), count, calls=3, oracle=MICRO)


@MANY
def test_int8_state_as_micro(count: int) -> None:
    """LiteRT has no such variant."""
    property_test(partial(integer_model, state_kind="int8"), count, calls=3, oracle=MICRO)


def test_filters_that_do_not_split_are_refused() -> None:
    state = tensor("float32", (1, 9), variable=True)
    weights = constant("float32", np.zeros((3, 4))), constant("float32", np.zeros((3, 3)))
    model = one_op("svdf", [("float32", (1, 4)), *weights, None, state], [("float32", (1, 1))], {"rank": 2})
    with pytest.raises(ShapeError, match="3 filters do not split into units of rank 2"):
        table()["svdf"].infer(model.main.nodes[0], [(1, 4), (3, 4)], lambda _i: None)
