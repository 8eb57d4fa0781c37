"""One model, two meanings: ours and an oracle's, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edged.formats.tflite import write
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Model
from support.build import random_array
from support.oracle import litert_calls

Array = np.ndarray[Any, np.dtype[Any]]
Calls = Callable[[bytes, Sequence[Sequence[Array]]], list[list[Array]]]


def random_inputs(rng: np.random.Generator, model: Model) -> list[Array]:
    """One array for each input of the main graph."""
    return [random_array(rng, t.dtype, t.shape) for t in model.main.inputs]


def check(
    model: Model,
    calls: Sequence[Sequence[Array]],
    *,
    oracle: Calls = litert_calls,
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Integers and booleans must be equal to the oracle's, floats close; every call in turn, with state."""
    expected = oracle(write(model), calls)
    evaluation = Evaluation(model)
    for number, (inputs, wanted) in enumerate(zip(calls, expected, strict=True)):
        given = list(evaluation.run(list(inputs)).values())
        assert len(given) == len(wanted)
        for tensor, ours, theirs in zip(model.main.outputs, given, wanted, strict=True):
            where = f"call {number}, {tensor}, node {model.main.nodes[0]}"
            assert ours.shape == theirs.shape, where
            assert ours.dtype == theirs.dtype, where
            if tensor.dtype in (DType.FLOAT32, DType.FLOAT64):
                np.testing.assert_allclose(ours, theirs, rtol, atol, err_msg=where)
            else:
                np.testing.assert_array_equal(ours, theirs, err_msg=where)
