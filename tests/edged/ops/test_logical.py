"""Logic, selection and WHERE against LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from support.agreement import random_inputs
from support.build import one_op
from support.draw import ROUNDS, agree, agree_randomly, broadcasting, shape

DTYPES = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")


@ROUNDS
@pytest.mark.parametrize("op", ["logical_and", "logical_or"])
def test_two_bools(op: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        a, b, out = broadcasting(rng)
        agree_randomly(rng, one_op(op, [("bool", a), ("bool", b)], [("bool", out)]))


def test_not() -> None:
    agree_randomly(np.random.default_rng(2), one_op("logical_not", [("bool", (3, 4))], [("bool", (3, 4))]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_select(dtype: str, rank: int) -> None:
    """By one condition, one for each of the first dimension, one for each element."""
    rng = np.random.default_rng(3)
    dims = (5, 2, 3, 2)
    model = one_op("select", [("bool", dims[:rank]), (dtype, dims), (dtype, dims)], [(dtype, dims)])
    agree_randomly(rng, model)


@ROUNDS
@pytest.mark.parametrize("dtype", DTYPES)
def test_select_v2_broadcasts(dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(rounds):
        a, b, out = broadcasting(rng)
        c = tuple(d if rng.random() < 0.5 else 1 for d in out)
        agree_randomly(
            rng,
            one_op(
                "select_v2", [("bool", c), (dtype, a), (dtype, b)], [(dtype, np.broadcast_shapes(out, c))]
            ),
        )


@ROUNDS
@pytest.mark.parametrize("dtype", ["bool", "float32", "int8", "uint8", "int32", "int64"])
def test_where(dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(5)
    for _ in range(rounds):
        dims = shape(rng)
        model = one_op("where", [(dtype, dims)], [("int64", (1, len(dims)))])
        (x,) = random_inputs(rng, model)
        thinned = np.where(rng.random(dims) < 0.5, np.zeros_like(x), x)
        thinned.reshape(-1)[-1] = 1  # LiteRT's Python cannot fetch an empty output
        agree(model, [thinned])


def test_select_by_a_condition_that_does_not_fit() -> None:
    model = one_op("select", [("bool", (3,)), ("int8", (2, 3)), ("int8", (2, 3))], [("int8", (2, 3))])
    with pytest.raises(ShapeError, match="does not fit"):
        Evaluation(model).run([np.zeros(3, bool), np.zeros((2, 3), np.int8), np.zeros((2, 3), np.int8)])


def test_logic_takes_bools_only() -> None:
    model = one_op("logical_not", [("int8", (3,))], [("int8", (3,))])
    with pytest.raises(UnsupportedError, match="takes bool"):
        Evaluation(model).run([np.zeros(3, np.int8)])
