"""Normalisations through every kernel: f32 against LiteRT, 8 bits against TFLite Micro."""

from __future__ import annotations

import numpy as np
import pytest

from support.build import one_op, quant, random_array
from support.lowered import agree


@pytest.mark.parametrize("op", ["softmax", "log_softmax", "l2_normalization"])
def test_f32_rows_equal_litert(op: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shape = (int(rng.integers(1, 4)), [1, 2, 10, 16, 33, 1001][seed])
        attrs = {"beta": float(rng.uniform(0.3, 2))} if op == "softmax" else {}
        model = one_op(op, [("float32", shape)], [("float32", shape)], attrs)
        agree(model, [rng.normal(0, 6, shape).astype(np.float32)], oracle="litert", atol=2e-6)


def test_local_response_normalization_equals_litert() -> None:
    rng = np.random.default_rng(1)
    attrs = {"radius": 2, "bias": 1.5, "alpha": 0.7, "beta": 0.6}
    model = one_op(
        "local_response_normalization", [("float32", (1, 3, 4, 9))], [("float32", (1, 3, 4, 9))], attrs
    )
    agree(model, [rng.normal(size=(1, 3, 4, 9)).astype(np.float32)], oracle="litert")


@pytest.mark.parametrize("scale", [0.02, 0.1, 0.35, 1.5])
def test_int8_softmax_equals_tflite_micro(scale: float) -> None:
    for seed, depth in enumerate((1, 2, 10, 100, 1001)):
        rng = np.random.default_rng(seed)
        shape = (3, depth)
        entry, result = (
            ("int8", shape, quant(scale, int(rng.integers(-128, 128)))),
            ("int8", shape, quant(1 / 256, -128)),
        )
        model = one_op("softmax", [entry], [result], {"beta": float(rng.uniform(0.5, 1.5))})
        agree(model, [random_array(rng, "int8", shape)], oracle="tflm")


def test_flat_rows_of_many_give_the_least_value() -> None:
    """A share of less than half a unit; TFLite Micro aborts here."""
    model = one_op(
        "softmax", [("int8", (1, 1001), quant(0.001, 0))], [("int8", (1, 1001), quant(1 / 256, -128))]
    )
    agree(model, [random_array(np.random.default_rng(0), "int8", (1, 1001))], oracle="litert")


def test_int8_softmax_to_int16_equals_the_reference() -> None:
    rng = np.random.default_rng(1)
    result = ("int16", (3, 40), quant(1 / 65536, -32768))
    model = one_op("softmax", [("int8", (3, 40), quant(0.1, 5))], [result], {"beta": 1.0})
    agree(model, [random_array(rng, "int8", (3, 40))])


@pytest.mark.parametrize("scale", [0.0001, 0.0008, 0.01])
def test_int16_softmax_equals_tflite_micro(scale: float) -> None:
    for seed, depth in enumerate((1, 2, 10, 100, 1001)):
        rng = np.random.default_rng(seed)
        shape = (3, depth)
        entry, result = ("int16", shape, quant(scale)), ("int16", shape, quant(1 / 32768))
        model = one_op("softmax", [entry], [result], {"beta": float(rng.uniform(0.5, 1.5))})
        agree(model, [random_array(rng, "int16", shape)], oracle="tflm")
