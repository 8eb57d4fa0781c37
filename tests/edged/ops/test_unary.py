"""Unary operators against LiteRT and TFLite Micro: random shapes, scales and zero points."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import InputError, UnsupportedError
from edged.graph.evaluate import Evaluation
from support.agreement import random_inputs
from support.build import one_op, quant
from support.draw import ROUNDS, agree, agree_randomly, quantisation, shape

FLOATS = (
    "abs", "ceil", "cos", "exp", "floor", "log", "neg", "round", "rsqrt", "sign", "sin", "sqrt", "square", "zeros_like",
)  # fmt: skip
POSITIVE = ("log", "rsqrt", "sqrt")

QUANTISED = [
    ("abs", "int8", "tflm"), ("abs", "int16", "tflm"), ("exp", "int8", "litert"), ("exp", "int16", "litert"),
    ("log", "int8", "litert"), ("log", "int16", "litert"), ("rsqrt", "int8", "tflm"), ("rsqrt", "int16", "tflm"),
    ("sqrt", "int8", "litert"), ("sqrt", "int16", "litert"),
]  # fmt: skip


@ROUNDS
@pytest.mark.parametrize("op", FLOATS)
def test_floats(op: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        dims = shape(rng)
        x = (rng.normal(size=dims) * 4).astype(np.float32)
        agree(
            one_op(op, [("float32", dims)], [("float32", dims)]), [np.abs(x) + 0.01 if op in POSITIVE else x]
        )


def test_rounding_of_halves_goes_to_even() -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997], np.float32)
    agree(one_op("round", [("float32", x.shape)], [("float32", x.shape)]), [x])


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "oracle"), QUANTISED)
def test_quantised(op: str, dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        dims = shape(rng)
        wide = dtype == "int16"
        source = quantisation(rng, dtype, -4.5 if wide else -3.0, -3.0 if wide else -1.7)
        result = quantisation(rng, dtype, -4.0 if wide else -3.0, -3.0 if wide else -1.0)
        model = one_op(op, [(dtype, dims, source)], [(dtype, dims, result)])
        (x,) = random_inputs(rng, model)
        agree(model, [np.maximum(x, np.asarray(source.zero_point, x.dtype)) if op in POSITIVE else x], oracle)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_negation_of_integers_wraps(dtype: str) -> None:
    x = np.array([np.iinfo(dtype).min, -1, 0, 5, np.iinfo(dtype).max], dtype)
    agree(one_op("neg", [(dtype, x.shape)], [(dtype, x.shape)]), [x])


@pytest.mark.parametrize("op", ["complex_abs", "real", "imag"])
def test_complex(op: str) -> None:
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))).astype(np.complex64)
    agree(one_op(op, [("complex64", x.shape)], [("float32", x.shape)]), [x])


def test_same_quantisation_needs_no_rescaling() -> None:
    rng = np.random.default_rng(4)
    same = quant(0.05, 11)
    agree_randomly(rng, one_op("abs", [("int8", (50,), same)], [("int8", (50,), same)]), "tflm")


@pytest.mark.parametrize("op", ["rsqrt", "sqrt"])
def test_a_negative_value_is_the_input_s_fault(op: str) -> None:
    model = one_op(op, [("int8", (2,), quant(0.1, 5))], [("int8", (2,), quant(0.1, 0))])
    with pytest.raises(InputError, match="negative"):
        Evaluation(model).run([np.array([9, 4], np.int8)])


def test_integers_without_quantisation_have_no_cosine() -> None:
    model = one_op("cos", [("int32", (2,))], [("int32", (2,))])
    with pytest.raises(UnsupportedError, match="cos has no meaning for int32"):
        Evaluation(model).run([np.array([9, 4], np.int32)])
