"""Activations against LiteRT and TFLite Micro: random shapes, scales and zero points, and every 8-bit value."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from edged.graph.model import Quantization
from support.agreement import random_inputs
from support.build import one_op, quant
from support.draw import ROUNDS, agree, agree_randomly, quantisation, shape

RELUS = ("relu", "relu6", "relu_n1_to_1", "relu_0_to_1")
FLOATS = (*RELUS, "leaky_relu", "elu", "gelu", "hard_swish", "logistic", "tanh")

FREE = [
    *((op, dtype, "litert") for op in RELUS for dtype in ("int8", "uint8")),
    ("relu", "int16", "tflm"), ("relu6", "int16", "litert"), ("relu", "int8", "tflm"),
    ("leaky_relu", "int8", "tflm"), ("leaky_relu", "int16", "tflm"), ("leaky_relu", "uint8", "litert"),
    ("elu", "int8", "tflm"), ("gelu", "int8", "litert"), ("gelu", "uint8", "litert"), ("gelu", "int16", "litert"),
]  # fmt: skip
"""Any quantisation of the output."""

BOUNDED = [
    ("logistic", "int8", quant(1 / 256, -128), "tflm"), ("logistic", "uint8", quant(1 / 256), "litert"),
    ("logistic", "int16", quant(1 / 32768), "tflm"), ("tanh", "int8", quant(1 / 128), "tflm"),
    ("tanh", "uint8", quant(1 / 128, 128), "litert"), ("tanh", "int16", quant(1 / 32768), "tflm"),
]  # fmt: skip
"""The output quantisation is given."""


def _attrs(op: str, rng: np.random.Generator) -> dict[str, object]:
    if op == "leaky_relu":
        return {"alpha": float(np.float32(rng.normal() * 0.3))}
    return {"approximate": bool(rng.integers(2))} if op == "gelu" else {}


def _every(dtype: str) -> np.ndarray:
    info = np.iinfo(dtype)
    step = 1 if info.bits == 8 else 7
    return np.arange(info.min, info.max + 1, step).astype(dtype)


@ROUNDS
@pytest.mark.parametrize("op", FLOATS)
def test_floats(op: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        dims = shape(rng)
        model = one_op(op, [("float32", dims)], [("float32", dims)], _attrs(op, rng))
        agree(model, [(rng.normal(size=dims) * 4).astype(np.float32)])


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "oracle"), FREE)
def test_quantised(op: str, dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        x = _every(dtype)
        source, result = quantisation(rng, dtype), quantisation(rng, dtype)
        if dtype == "int16":
            source, result = quantisation(rng, dtype, -4, -3), quantisation(rng, dtype, -4, -3)
        model = one_op(op, [(dtype, x.shape, source)], [(dtype, x.shape, result)], _attrs(op, rng))
        agree(model, [x], oracle)


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "result", "oracle"), BOUNDED)
def test_quantised_to_a_bounded_range(
    op: str, dtype: str, result: Quantization, oracle: str, rounds: int
) -> None:
    rng = np.random.default_rng(3)
    for _ in range(rounds):
        x = _every(dtype)
        low, high = (-5.0, -3.0) if dtype == "int16" else (-3.0, -0.5)
        source = quantisation(rng, dtype, low, high)
        agree(one_op(op, [(dtype, x.shape, source)], [(dtype, x.shape, result)]), [x], oracle)


@pytest.mark.parametrize("op", ["logistic", "tanh"])
@pytest.mark.parametrize("exponent", [-12, -11, -13])
def test_int16_with_a_scale_that_is_a_power_of_two(op: str, exponent: int) -> None:
    x = _every("int16")
    model = one_op(op, [("int16", x.shape, quant(2.0**exponent))], [("int16", x.shape, quant(1 / 32768))])
    agree(model, [x], "tflm")


def test_tanh_to_another_scale_is_litert_s_table() -> None:
    x = _every("int8")
    agree(one_op("tanh", [("int8", x.shape, quant(0.03, 7))], [("int8", x.shape, quant(0.02, -9))]), [x])


@ROUNDS
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_hard_swish_quantised(dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(rounds):
        x = _every(dtype)
        source, result = quantisation(rng, dtype, -3, 0), quantisation(rng, dtype, -2, 0)
        result = quant(max(result.scale, source.scale / 64), result.zero_point)
        agree(one_op("hard_swish", [(dtype, x.shape, source)], [(dtype, x.shape, result)]), [x])


@ROUNDS
@pytest.mark.parametrize(("dtype", "oracle"), [("float32", "litert"), ("int8", "tflm"), ("uint8", "litert")])
def test_prelu(dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(5)
    for _ in range(rounds):
        dims = shape(rng, 4, 4, 6)
        slopes = dims if rng.random() < 0.3 else (1, 1, dims[3])
        plain = dtype == "float32"
        q = [None if plain else quantisation(rng, dtype) for _ in range(3)]
        model = one_op("prelu", [(dtype, dims, q[0]), (dtype, slopes, q[1])], [(dtype, dims, q[2])])
        agree_randomly(rng, model, oracle)


def test_prelu_s_alpha_must_not_enlarge_the_input() -> None:
    model = one_op("prelu", [("float32", (2, 1)), ("float32", (2, 3))], [("float32", (2, 3))])
    with pytest.raises(ShapeError, match="does not broadcast to the input's"):
        Evaluation(model).run([np.zeros((2, 1), np.float32), np.zeros((2, 3), np.float32)])


def test_hard_swish_refuses_an_output_scale_that_tflite_refuses() -> None:
    model = one_op("hard_swish", [("int8", (1,), quant(1.0))], [("int8", (1,), quant(0.001))])
    with pytest.raises(UnsupportedError, match="below 1/128"):
        Evaluation(model).run([np.zeros(1, np.int8)])


def test_relu6_of_one_quantisation_agrees_with_micro() -> None:
    rng = np.random.default_rng(6)
    model = one_op("relu6", [("int8", (99,), quant(0.05, -20))], [("int8", (99,), quant(0.05, -20))])
    agree(model, random_inputs(rng, model), "tflm")


@pytest.mark.parametrize("op", ["leaky_relu", "relu6", "elu", "logistic", "tanh"])
def test_infinities_pass_without_a_warning(op: str) -> None:
    x = np.array([-np.inf, -1.0, 0.0, 1.0, np.inf], np.float32)
    agree(
        one_op(op, [("float32", (5,))], [("float32", (5,))], {"alpha": 0.0} if op == "leaky_relu" else {}),
        [x],
    )
