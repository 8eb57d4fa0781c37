"""ADD, SUB, MUL, DIV, SQUARED_DIFFERENCE, ADD_N against LiteRT and TFLite Micro: broadcasts, activations, scales."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import InputError, ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from support.agreement import random_inputs
from support.build import one_op, quant
from support.draw import ROUNDS, agree, agree_randomly, broadcasting, quantisation, shape

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
SUMS = ("add", "sub", "mul")

PLAIN = [
    *((op, dtype) for op in SUMS for dtype in ("float32", "int32", "int64")),
    ("div", "float32"), ("div", "int32"), ("squared_difference", "float32"), ("squared_difference", "int32"),
]  # fmt: skip
QUANTISED = [
    *((op, dtype, oracle) for op in (*SUMS, "div") for dtype, oracle in (("int8", "tflm"), ("uint8", "litert"))),
    *((op, "int16", "tflm") for op in (*SUMS, "squared_difference")),
    ("div", "int16", "litert"), ("squared_difference", "int8", "tflm"), ("add", "int8", "litert"),
    ("add", "int16", "litert"),
]  # fmt: skip


def _attrs(op: str, rng: np.random.Generator) -> dict[str, object]:
    if op == "squared_difference":
        return {}
    fused: dict[str, object] = {"fused_activation_function": str(rng.choice(ACTIVATIONS))}
    return fused | ({"pot_scale_int16": False} if op in ("add", "sub") else {})


@ROUNDS
@pytest.mark.parametrize(("op", "dtype"), PLAIN)
def test_plain(op: str, dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        a, b, out = broadcasting(rng)
        model = one_op(op, [(dtype, a), (dtype, b)], [(dtype, out)], _attrs(op, rng))
        x, y = random_inputs(rng, model)
        if op == "div" and dtype == "int32":
            y = np.where(y == 0, np.int32(3), y // 1000 + 1).astype(np.int32)
            y[y == 0] = 7
        agree(model, [x, y])


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "oracle"), QUANTISED)
def test_quantised(op: str, dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        a, b, out = broadcasting(rng, 9)
        q = [quantisation(rng, dtype) for _ in range(3)]
        model = one_op(op, [(dtype, a, q[0]), (dtype, b, q[1])], [(dtype, out, q[2])], _attrs(op, rng))
        x, y = random_inputs(rng, model)
        if op == "div":
            y = np.where(y == q[1].zero_point, (y ^ 1).astype(y.dtype), y)
        agree(model, [x, y], oracle)


@ROUNDS
@pytest.mark.parametrize("op", ["add", "sub"])
def test_int16_with_power_of_two_scales(op: str, rounds: int) -> None:
    rng = np.random.default_rng(3)
    for turn in range(rounds):
        dims = shape(rng)
        scales = [quant(2.0**-12), quant(2.0 ** -int(rng.integers(12, 17)))]
        first, second = scales if turn % 2 else scales[::-1]
        attrs = {"fused_activation_function": str(rng.choice(ACTIVATIONS)), "pot_scale_int16": True}
        ins = [("int16", dims, first), ("int16", dims, second)]
        agree_randomly(rng, one_op(op, ins, [("int16", dims, quant(2.0**-12))], attrs))


@pytest.mark.parametrize("op", ["add", "mul"])
def test_int16_without_quantisation_wraps(op: str) -> None:
    rng = np.random.default_rng(4)
    attrs = {"fused_activation_function": "RELU"} | ({"pot_scale_int16": False} if op == "add" else {})
    agree_randomly(rng, one_op(op, [("int16", (9, 5)), ("int16", (5,))], [("int16", (9, 5))], attrs))


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_product_of_int16_in_8_bits(dtype: str) -> None:
    rng = np.random.default_rng(5)
    ins = [("int16", (64,), quant(1 / 32768)), ("int16", (64,), quant(1 / 32768))]
    point = 128 if dtype == "uint8" else 0
    agree_randomly(rng, one_op("mul", ins, [(dtype, (64,), quant(1 / 128, point))], {}))


@ROUNDS
@pytest.mark.parametrize(("dtype", "oracle"), [("float32", "litert"), ("int32", "litert"), ("int8", "tflm")])
def test_add_n(dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(6)
    for _ in range(rounds):
        dims, count = shape(rng), int(rng.integers(2, 5))
        source = quantisation(rng, dtype) if dtype == "int8" else None
        result = quantisation(rng, dtype) if dtype == "int8" else None
        agree_randomly(rng, one_op("add_n", [(dtype, dims, source)] * count, [(dtype, dims, result)]), oracle)


def test_division_by_a_real_zero_is_the_input_s_fault() -> None:
    q = quant(0.1, 5)
    model = one_op("div", [("int8", (2,), q), ("int8", (2,), q)], [("int8", (2,), q)], {})
    with pytest.raises(InputError, match="DIV by zero"):
        Evaluation(model).run([np.array([1, 2], np.int8), np.array([1, 5], np.int8)])
    model = one_op("div", [("int32", (2,)), ("int32", (2,))], [("int32", (2,))], {})
    with pytest.raises(InputError, match="DIV by zero"):
        Evaluation(model).run([np.array([1, 2], np.int32), np.array([1, 0], np.int32)])


def test_shapes_that_do_not_broadcast() -> None:
    model = one_op("add", [("float32", (2, 3)), ("float32", (2,))], [("float32", (2, 3))], {})
    with pytest.raises(ShapeError, match=r"\(2, 3\) and \(2,\) do not broadcast"):
        Evaluation(model).run([np.zeros((2, 3), np.float32), np.zeros(2, np.float32)])


def test_quantised_uint8_has_no_squared_difference() -> None:
    q = quant(0.1, 5)
    model = one_op("squared_difference", [("uint8", (2,), q), ("uint8", (2,), q)], [("uint8", (2,), q)])
    with pytest.raises(UnsupportedError, match="no meaning for uint8"):
        Evaluation(model).run([np.zeros(2, np.uint8)] * 2)


def test_add_n_of_different_shapes() -> None:
    model = one_op("add_n", [("float32", (2,)), ("float32", (3,))], [("float32", (3,))])
    with pytest.raises(ShapeError, match="must have one shape"):
        Evaluation(model).run([np.zeros(2, np.float32), np.zeros(3, np.float32)])
