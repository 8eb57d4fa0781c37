"""One model, two meanings: ours and an oracle's, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.formats.tflite import write
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model, Tensor
from support.build import random_array
from support.oracle import litert_calls, tflm_calls

Array = np.ndarray[Any, np.dtype[Any]]
Calls = Callable[[bytes, Sequence[Sequence[Array]]], list[list[Array]]]

LITERT: Calls = litert_calls
LITERT_REFERENCE: Calls = partial(litert_calls, resolver="BUILTIN_REF")
"""LiteRT's plain C++ kernels, which round as TFLite Micro's do."""
MICRO: Calls = tflm_calls

COUNTS = [pytest.param(10, id="few"), pytest.param(300, id="many", marks=pytest.mark.long)]
"""How many random models a property test tries: `make test`, `make test-long`."""


def random_inputs(rng: np.random.Generator, model: Model) -> list[Array]:
    """One array for each input of the main graph."""
    return [random_array(rng, t.dtype, t.shape) for t in model.main.inputs]


def check(
    model: Model,
    calls: Sequence[Sequence[Array]],
    *,
    oracle: Calls = LITERT,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    steps: int = 0,
) -> None:
    """Integers must be within `steps` of the oracle's (0: equal), floats close; every call in turn, with state."""
    expected = oracle(write(model), calls)
    evaluation = Evaluation(model)
    for number, (inputs, wanted) in enumerate(zip(calls, expected, strict=True)):
        given = list(evaluation.run(list(inputs)).values())
        assert len(given) == len(wanted)
        for tensor, ours, theirs in zip(model.main.outputs, given, wanted, strict=True):
            _compare(
                f"call {number}, {tensor}, {model.main.nodes[0]}", tensor, ours, theirs, (rtol, atol, steps)
            )


def _compare(
    where: str, tensor: Tensor, ours: Array, theirs: Array, limits: tuple[float, float, int]
) -> None:
    rtol, atol, steps = limits
    assert ours.shape == theirs.shape, where
    assert ours.dtype == theirs.dtype, where
    if tensor.dtype.is_float:
        np.testing.assert_allclose(ours, theirs, rtol, atol, err_msg=where)
    elif steps and ours.dtype.kind in "iu":
        np.testing.assert_allclose(ours.astype(np.int64), theirs.astype(np.int64), 0, steps, err_msg=where)
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=where)


def property_test(
    make: Callable[[np.random.Generator], Model], count: int, *, calls: int = 1, **limits: Any
) -> None:
    """`count` random models of `make`, each from its own seed, with `calls` random inputs one after another."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        model = make(rng)
        check(model, [random_inputs(rng, model) for _ in range(calls)], **limits)
