"""ARG_MAX, ARG_MIN and CUMSUM against LiteRT and TFLite Micro."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ShapeError
from edged.graph.evaluate import Evaluation
from support.agreement import random_inputs
from support.build import constant, one_op
from support.draw import ROUNDS, agree, agree_randomly, quantisation, shape


@ROUNDS
@pytest.mark.parametrize("op", ["arg_max", "arg_min"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int32", "bool"])
@pytest.mark.parametrize("to", ["int32", "int64"])
def test_index_of_an_extreme(op: str, dtype: str, to: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        dims = shape(rng)
        at = int(rng.integers(len(dims)))
        axis = constant("int32", np.array(at - len(dims) if rng.random() < 0.4 else at, np.int32))
        out = dims[:at] + dims[at + 1 :]
        model = one_op(op, [(dtype, dims), axis], [(to, out)], {"output_type": to.upper()})
        (x,) = random_inputs(rng, model)
        agree(model, [(x // 64 if dtype == "int8" else x).astype(x.dtype)])


@ROUNDS
@pytest.mark.parametrize(
    ("dtype", "oracle"), [("float32", "litert"), ("int32", "litert"), ("int64", "litert"), ("int8", "tflm")]
)
def test_cumulative_sum(dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(2)
    for turn in range(max(rounds, 4)):
        dims = shape(rng)
        axis = constant("int32", np.array(rng.integers(-len(dims), len(dims)), np.int32))
        attrs = {"exclusive": turn % 2 == 1, "reverse": turn % 4 > 1}
        q = [quantisation(rng, "int8") if dtype == "int8" else None for _ in range(2)]
        model = one_op("cumsum", [(dtype, dims, q[0]), axis], [(dtype, dims, q[1])], attrs)
        x = random_inputs(rng, model)[0]
        agree(model, [np.abs(x) if dtype == "float32" else x], oracle)


def test_ties_take_the_first() -> None:
    model = one_op(
        "arg_max",
        [("float32", (6,)), constant("int32", np.array(0, np.int32))],
        [("int64", ())],
        {"output_type": "INT64"},
    )
    agree(model, [np.array([1, 3, 3, 2, 3, 0], np.float32)])


def test_an_axis_that_the_input_has_not() -> None:
    model = one_op(
        "cumsum", [("float32", (6,)), constant("int32", np.array(1, np.int32))], [("float32", (6,))]
    )
    with pytest.raises(ShapeError, match="axis 1 is out of range for 1 dimension"):
        Evaluation(model).run([np.zeros(6, np.float32)])


def test_extreme_of_nothing() -> None:
    axis = constant("int32", np.array(0, np.int32))
    model = one_op("arg_min", [("float32", (0, 2)), axis], [("int64", (2,))], {"output_type": "INT64"})
    with pytest.raises(ShapeError, match="of no elements"):
        Evaluation(model).run([np.zeros((0, 2), np.float32)])


def test_whole_range_wraps() -> None:
    axis = constant("int32", np.array(0, np.int32))
    agree_randomly(np.random.default_rng(3), one_op("cumsum", [("int32", (99,)), axis], [("int32", (99,))]))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_buckets(dtype: str) -> None:
    rng = np.random.default_rng(4)
    model = one_op("bucketize", [(dtype, (5, 9))], [("int32", (5, 9))], {"boundaries": (-2.0, 0.0, 1.0, 3.5)})
    agree(model, [rng.integers(-4, 6, (5, 9)).astype(dtype)])
