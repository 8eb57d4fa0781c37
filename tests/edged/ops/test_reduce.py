"""Reductions against LiteRT and TFLite Micro: any axes, negative ones, kept or dropped dimensions."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model, Quantization
from support.agreement import random_inputs
from support.build import constant, one_op, quant
from support.draw import ROUNDS, agree, quantisation, shape

PLAIN = [
    *((op, d) for op in ("mean", "sum", "reduce_prod", "reduce_max", "reduce_min") for d in ("float32", "int32", "int64")),
    ("reduce_any", "bool"), ("reduce_all", "bool"),
]  # fmt: skip
QUANTISED = [
    *((op, d, o) for op in ("mean", "sum") for d, o in (("int8", "tflm"), ("int16", "tflm"), ("uint8", "litert"))),
    *((op, d, "litert") for op in ("reduce_max", "reduce_min") for d in ("int8", "uint8", "int16")),
    ("reduce_max", "int8", "tflm"), ("reduce_prod", "int8", "litert"), ("reduce_prod", "int16", "litert"),
]  # fmt: skip


def _model(
    rng: np.random.Generator, op: str, dtype: str, dims: tuple[int, ...], q: tuple[Quantization | None, ...]
) -> Model:
    rank = len(dims)
    axes = rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False)
    keep = bool(rng.integers(2))
    out = tuple(1 if i in axes else d for i, d in enumerate(dims) if keep or i not in axes)
    axis = np.where(rng.random(len(axes)) < 0.3, axes - rank, axes).astype(np.int32)
    return one_op(
        op, [(dtype, dims, q[0]), constant("int32", axis)], [(dtype, out, q[1])], {"keep_dims": keep}
    )


@ROUNDS
@pytest.mark.parametrize(("op", "dtype"), PLAIN)
def test_plain(op: str, dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        model = _model(rng, op, dtype, shape(rng, size=4 if op == "reduce_prod" else 9), (None, None))
        inputs = random_inputs(rng, model)
        if dtype == "float32" and op in ("mean", "sum"):
            inputs = [np.abs(inputs[0])]  # so that the order of additions cannot matter
        agree(model, inputs)


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "oracle"), QUANTISED)
def test_quantised(op: str, dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        source = quantisation(rng, dtype, -2.5, -1.5)
        result = quant(source.scale * 10 ** rng.uniform(-0.3, 0.8), quantisation(rng, dtype).zero_point)
        if op in ("reduce_max", "reduce_min"):
            result = source
        if op == "reduce_prod" and dtype == "int16":
            source, result = quant(1e-4), quant(1e-4)
        model = _model(rng, op, dtype, shape(rng, size=3 if op == "reduce_prod" else 12), (source, result))
        agree(model, random_inputs(rng, model), oracle)


@ROUNDS
@pytest.mark.parametrize(("dtype", "oracle"), [("int8", "tflm"), ("uint8", "litert"), ("int16", "tflm")])
def test_mean_over_an_image(dtype: str, oracle: str, rounds: int) -> None:
    """The form that a classifier ends in, for which LiteRT has kernels of its own."""
    rng = np.random.default_rng(3)
    for turn in range(rounds):
        dims = shape(rng, 4, 4, 14)
        keep = turn % 2 == 0
        out = (dims[0], 1, 1, dims[3]) if keep else (dims[0], dims[3])
        ins = [(dtype, dims, quantisation(rng, dtype)), constant("int32", np.array([1, 2], np.int32))]
        model = one_op("mean", ins, [(dtype, out, quantisation(rng, dtype))], {"keep_dims": keep})
        agree(model, random_inputs(rng, model), oracle)


def test_mean_of_nothing_is_not_a_number() -> None:
    axis = constant("int32", np.array([0], np.int32))
    model = one_op("mean", [("float32", (0, 2)), axis], [("float32", (2,))], {"keep_dims": False})
    (found,) = Evaluation(model).run([np.zeros((0, 2), np.float32)]).values()
    assert np.isnan(found).all()


def test_an_axis_that_the_input_has_not() -> None:
    axis = constant("int32", np.array([2], np.int32))
    model = one_op("sum", [("float32", (3, 2)), axis], [("float32", (3,))], {"keep_dims": False})
    with pytest.raises(ShapeError, match=r"axis \[2\] is out of range for 2 dimensions"):
        Evaluation(model).run([np.zeros((3, 2), np.float32)])


def test_maximum_does_not_rescale() -> None:
    axis = constant("int32", np.array([0], np.int32))
    model = one_op("reduce_max", [("int8", (3,), quant(0.1)), axis], [("int8", (), quant(0.2))], {})
    with pytest.raises(UnsupportedError, match="one quantisation"):
        Evaluation(model).run([np.zeros(3, np.int8)])
