"""Recurrent layers through the kernels, step after step, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned
from support import lstm_models, rnn_models
from support.build import constant, one_op, quant, random_array, tensor

Array = np.ndarray[Any, np.dtype[Any]]


def steps_agree(model: Model, calls: list[list[Array]], rtol: float = 1e-5, atol: float = 1e-5) -> None:
    """Every call in turn, with the state that the ones before left."""
    evaluation = Evaluation(model)
    delegate = CpuBackend(threads=1).prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    assert not delegate.program.fallbacks, delegate.explain()
    for arrays in calls:
        wanted = list(evaluation.run(arrays).values())
        given = []
        for array in arrays:
            raw = aligned(array.nbytes)
            raw[:] = np.frombuffer(array.tobytes(), np.uint8)
            given.append(raw.data)
        outs = [aligned(want.nbytes) for want in wanted]
        delegate.run(RunContext(), given, [out.data for out in outs])
        for out, want in zip(outs, wanted, strict=True):
            got = np.frombuffer(out.tobytes(), want.dtype).reshape(want.shape)
            if want.dtype.kind == "f":
                np.testing.assert_allclose(got, want, rtol, atol)
            else:
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("state_type", ["int16", "int8"])
@pytest.mark.parametrize("rank", [1, 2])
def test_integer_svdf(state_type: str, rank: int) -> None:
    rng = np.random.default_rng(rank)
    batch, depth, units, memory = 2, 33, 7, 9
    filters = units * rank
    state = tensor(
        state_type,
        (batch, memory * filters),
        quant(0.02 if state_type == "int16" else 0.6),
        variable=True,
        name="state",
    )
    model = one_op(
        "svdf",
        [
            tensor("int8", (batch, depth), quant(0.05, 4)), constant("int8", random_array(rng, "int8", (filters, depth)), quant(0.01)),
            constant(state_type, random_array(rng, state_type, (filters, memory)), quant(0.0001 if state_type == "int16" else 0.01)),
            constant("int32", rng.integers(-3000, 3000, units).astype(np.int32), quant(0.0005)), state,
        ],
        [("int8", (batch, units), quant(0.2, -7))],
        {"rank": rank, "fused_activation_function": "RELU"},
    )  # fmt: skip
    steps_agree(model, [[random_array(rng, "int8", (batch, depth))] for _ in range(12)])


def test_float_svdf() -> None:
    rng = np.random.default_rng(3)
    state = tensor("float32", (1, 5 * 8), variable=True, name="state")
    model = one_op(
        "svdf",
        [
            tensor("float32", (1, 20)), constant("float32", rng.normal(size=(8, 20)).astype(np.float32)),
            constant("float32", rng.normal(size=(8, 5)).astype(np.float32)), None, state,
        ],
        [("float32", (1, 4))],
        {"rank": 2, "fused_activation_function": "RELU"},
    )  # fmt: skip
    steps_agree(model, [[rng.normal(size=(1, 20)).astype(np.float32)] for _ in range(8)])


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("activation", ["NONE", "RELU6", "TANH"])
def test_hybrid_svdf(asymmetric: bool, activation: str) -> None:
    rng = np.random.default_rng(5)
    model = one_op(
        "svdf",
        [
            tensor("float32", (3, 20)), constant("int8", random_array(rng, "int8", (8, 20)), quant(0.02)),
            constant("int8", random_array(rng, "int8", (8, 5)), quant(0.03)),
            constant("float32", rng.normal(size=4)), tensor("float32", (3, 5 * 8), variable=True, name="state"),
        ],
        [("float32", (3, 4))],
        {"rank": 2, "fused_activation_function": activation, "asymmetric_quantize_inputs": asymmetric},
    )  # fmt: skip
    steps_agree(model, [[rng.normal(size=(3, 20)).astype(np.float32)] for _ in range(8)])


def _lstm(rng: np.random.Generator, dtype: str, major: bool) -> Model:
    batch, steps, depth, units = 2, 5, 19, 6
    whole = dtype == "int8"

    def weights(*shape: int) -> Any:
        if not whole:
            return constant("float32", rng.normal(0, 0.4, shape).astype(np.float32))
        return constant("int8", random_array(rng, "int8", shape), quant(rng.uniform(0.002, 0.01)))

    def bias() -> Any:
        if not whole:
            return constant("float32", rng.normal(0, 0.4, units).astype(np.float32))
        return constant("int32", rng.integers(-9000, 9000, units).astype(np.int32), quant(1e-4))

    lead = (steps, batch) if major else (batch, steps)
    hidden = quant(1 / 128, -3) if whole else None
    states = [
        tensor(dtype, (batch, units), hidden, variable=True, name="h"),
        tensor(
            "int16" if whole else dtype,
            (batch, units),
            quant(2.0**-11) if whole else None,
            variable=True,
            name="c",
        ),
    ]
    inputs = [
        tensor(dtype, (*lead, depth), quant(0.02, 5) if whole else None), *(weights(units, depth) for _ in range(4)),
        *(weights(units, units) for _ in range(4)), None, None, None, *(bias() for _ in range(4)), None, None, *states,
        None, None, None, None,
    ]  # fmt: skip
    attrs = {"fused_activation_function": "TANH", "cell_clip": 1.5, "time_major": major}
    return one_op("unidirectional_sequence_lstm", inputs, [(dtype, (*lead, units), hidden)], attrs)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("major", [False, True])
def test_lstm(dtype: str, major: bool) -> None:
    rng = np.random.default_rng(4)
    model = _lstm(rng, dtype, major)
    steps_agree(model, [[random_array(rng, dtype, model.main.inputs[0].shape)] for _ in range(4)])


HYBRID = {"rtol": 1e-2, "atol": 2e-2}
"""Hybrid states are quantised anew in every step: a value on the border of two may fall on either side."""


def many_agree(make: Callable[[np.random.Generator], Model], hybrid: bool, count: int = 12) -> None:
    """Random layers, two calls each."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        model = make(rng)
        calls = [[random_array(rng, "float32", t.shape) for t in model.main.inputs] for _ in range(2)]
        steps_agree(model, calls, **(HYBRID if hybrid else {"rtol": 2e-5, "atol": 2e-5}))


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("parts", lstm_models.PARTS)
@pytest.mark.parametrize("op", [lstm_models.SEQUENCE, lstm_models.STEP])
def test_lstm_of_every_kind(op: str, parts: str, asymmetric: bool, hybrid: bool) -> None:
    make = partial(lstm_models.float_model, parts=parts, op=op, hybrid=hybrid, asymmetric=asymmetric)
    many_agree(make, hybrid)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("auxiliary", ["none", "weighted", "linked"])
@pytest.mark.parametrize("parts", ["", "cifg peephole projection"])
def test_lstm_both_ways(parts: str, auxiliary: str, hybrid: bool) -> None:
    many_agree(partial(lstm_models.both_ways, parts=parts, hybrid=hybrid, auxiliary=auxiliary), hybrid)


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        rnn_models.one_step,
        rnn_models.sequence,
        *(partial(rnn_models.both_ways, auxiliary=a) for a in ("none", "weighted", "linked")),
    ],
)
def test_rnn(make: Callable[..., Model], hybrid: bool, asymmetric: bool) -> None:
    many_agree(partial(make, hybrid=hybrid, asymmetric=asymmetric), hybrid)


@pytest.mark.parametrize("parts", lstm_models.PARTS)
@pytest.mark.parametrize("op", [lstm_models.SEQUENCE, lstm_models.STEP])
def test_integer_lstm_of_every_kind(op: str, parts: str) -> None:
    many_equal(partial(lstm_models.integer_model, parts=parts, op=op))


def many_equal(make: Callable[[np.random.Generator], Model], count: int = 12) -> None:
    """Random integer layers, three calls each, of inputs over the whole range of their type."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        model = make(rng)
        calls = [[random_array(rng, t.dtype, t.shape) for t in model.main.inputs] for _ in range(3)]
        steps_agree(model, calls)


def test_lstm_of_int16() -> None:
    many_equal(partial(lstm_models.integer_model, parts="", kind="int16"))


def test_basic_lstm_of_integers() -> None:
    many_equal(partial(lstm_models.basic_model, integer=True))


def test_basic_lstm_of_floats() -> None:
    many_agree(partial(lstm_models.basic_model, integer=False), hybrid=False)
