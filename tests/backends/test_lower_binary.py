"""Pairs of tensors with random broadcasts through every kernel, against LiteRT and TFLite Micro."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.graph.model import Model
from support.build import constant, one_op, quant, random_array
from support.lowered import MASKS, agree

Rng = np.random.Generator
Shape = tuple[int, ...]
COMPARES = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


def shapes(rng: Rng) -> tuple[Shape, Shape, Shape]:
    """(a, b, out): equal shapes, a channel vector, a scalar, or any broadcast of up to four dimensions."""
    kind = int(rng.integers(5))
    whole = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
    if kind == 0:
        whole = (*whole[:-1], int(rng.integers(1, 150)))
        return whole, whole, whole
    if kind == 1:
        whole = (*whole[:-1], int(rng.integers(1, 150)))
        return whole, whole[-1:], whole
    if kind == 2:
        return whole, (1,), whole
    if kind == 3:
        return (9000,), (9000,), (9000,)
    a = tuple(n if rng.integers(3) else 1 for n in whole)
    b = tuple(n if rng.integers(3) else 1 for n in whole)
    return a, b, tuple(np.broadcast_shapes(a, b))


def pair(
    rng: Rng, op: str, dtype: str, result: str | None = None, quantised: bool = False, attrs: Any = None
) -> Model:
    a, b, out = shapes(rng)
    if op not in ("sub", "div", "floor_div", "floor_mod", "pow", "prelu") and rng.integers(2):
        a, b = b, a

    def q() -> Any:
        zero = 0 if dtype == "int16" else int(rng.integers(-60, 60)) + 128 * (dtype == "uint8")
        return quant(rng.uniform(0.01, 0.1), zero) if quantised else None

    own = None if op in COMPARES else q()
    return one_op(op, [(dtype, a, q()), (dtype, b, q())], [(result or dtype, out, own)], attrs)


def feed(rng: Rng, model: Model, low: int = -20, high: int = 20) -> list[Any]:
    """Values in which equal pairs occur; floats never 0."""
    given = []
    for tensor in model.main.inputs:
        if str(tensor.dtype) == "float32":
            given.append((rng.integers(low, high, tensor.shape) + 0.5).astype(np.float32))
        elif str(tensor.dtype) == "bool":
            given.append(random_array(rng, "bool", tensor.shape))
        else:
            given.append(rng.integers(low, high, tensor.shape).astype(str(tensor.dtype)))
    return given


@pytest.mark.parametrize(
    "op", ["add", "sub", "mul", "div", "maximum", "minimum", "squared_difference", "floor_div", "floor_mod"]
)
def test_f32_equals_litert(op: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        fused = op in ("add", "sub", "mul", "div") and rng.integers(2)
        model = pair(rng, op, "float32", attrs={"fused_activation_function": "RELU6"} if fused else None)
        agree(model, feed(rng, model), oracle="litert")


@pytest.mark.parametrize("op", COMPARES)
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "int8"])
def test_comparisons_equal_litert(op: str, dtype: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        model = pair(rng, op, dtype, "bool", quantised=dtype == "int8")
        agree(model, feed(rng, model, -3, 3), oracle="litert", masks=("", "none"))


@pytest.mark.parametrize(
    "op", ["add", "sub", "mul", "maximum", "minimum", "floor_div", "floor_mod", "squared_difference"]
)
def test_int32_equals_litert(op: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = pair(rng, op, "int32")
        given = feed(rng, model)
        given[1] = np.where(given[1] == 0, 3, given[1]).astype(np.int32)
        agree(model, given, oracle="litert", masks=("", "none"))


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("op", ["add", "sub", "mul", "squared_difference"])
def test_quantised_equals_tflite_micro(op: str, dtype: str) -> None:
    if op == "squared_difference" and dtype == "int16":
        return
    for seed in range(10):
        rng = np.random.default_rng(seed)
        attrs: dict[str, Any] = (
            {"fused_activation_function": "RELU"} if op != "squared_difference" and rng.integers(2) else {}
        )
        if op in ("add", "sub"):
            attrs["pot_scale_int16"] = False
        model = pair(rng, op, dtype, quantised=True, attrs=attrs)
        given = [random_array(rng, dtype, t.shape) for t in model.main.inputs]
        agree(model, given, oracle="tflm")


@pytest.mark.parametrize("op", ["add", "sub", "mul"])
def test_uint8_equals_litert(op: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        model = pair(rng, op, "uint8", quantised=True, attrs={"fused_activation_function": "NONE"})
        agree(model, [random_array(rng, "uint8", t.shape) for t in model.main.inputs], oracle="litert")


def test_a_constant_scalar_becomes_a_table() -> None:
    rng = np.random.default_rng(2)
    scalar = constant("int8", np.array([77], np.int8), quant(0.02, 3))
    model = one_op("mul", [("int8", (3, 50), quant(0.1, 5)), scalar], [("int8", (3, 50), quant(0.07, -1))])
    agree(model, [random_array(rng, "int8", (3, 50))], oracle="tflm", masks=MASKS)


@pytest.mark.parametrize("op", ["logical_and", "logical_or"])
def test_logic_equals_litert(op: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        model = pair(rng, op, "bool")
        agree(model, feed(rng, model), oracle="litert", masks=("",))


def test_prelu_equals_litert() -> None:
    for seed, dtype in enumerate(["float32", "int8", "float32", "int8"]):
        rng = np.random.default_rng(seed)
        q = [
            quant(rng.uniform(0.01, 0.1), int(rng.integers(-60, 60))) if dtype == "int8" else None
            for _ in range(3)
        ]
        alpha = constant(dtype, random_array(rng, dtype, (1, 1, 7)), q[1])
        model = one_op("prelu", [(dtype, (2, 4, 5, 7), q[0]), alpha], [(dtype, (2, 4, 5, 7), q[2])])
        agree(model, [random_array(rng, dtype, (2, 4, 5, 7))], oracle="litert")


@pytest.mark.parametrize("dtype", ["float32", "int8", "int32", "int64"])
def test_select_equals_litert(dtype: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        a, b, out = shapes(rng)
        condition = tuple(n if rng.integers(2) else 1 for n in out)
        model = one_op(
            "select_v2",
            [("bool", condition), (dtype, a), (dtype, b)],
            [(dtype, np.broadcast_shapes(condition, a, b))],
        )
        agree(model, feed(rng, model), oracle="litert", masks=("",))


def test_add_n_equals_litert() -> None:
    rng = np.random.default_rng(0)
    model = one_op("add_n", [("float32", (3, 40))] * 4, [("float32", (3, 40))])
    agree(model, feed(rng, model), oracle="litert")
