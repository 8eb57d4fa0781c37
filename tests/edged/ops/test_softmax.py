"""SOFTMAX and LOG_SOFTMAX against TFLite Micro (8 and 16 bits) and LiteRT (floats; its reference kernels for uint8)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edged.errors import ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from edged.graph.model import Quantization
from support.agreement import check, random_inputs
from support.build import one_op, quant
from support.draw import ROUNDS, agree, agree_randomly, quantisation, shape
from support.oracle import Array, litert_calls

QUANTISED = [
    ("softmax", "int8", "int8", quant(1 / 256, -128)), ("softmax", "int8", "int16", quant(1 / 65536, -32768)),
    ("softmax", "int16", "int16", quant(1 / 32768)), ("log_softmax", "int8", "int8", quant(1 / 16, 127)),
]  # fmt: skip


def _reference(file: bytes, calls: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """LiteRT with its reference kernels."""
    return litert_calls(file, calls, "BUILTIN_REF")


def _attrs(op: str, rng: np.random.Generator) -> dict[str, object]:
    return {"beta": float(rng.choice([1.0, 0.5, 2.25]))} if op == "softmax" else {}


@ROUNDS
@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
def test_floats(op: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        dims = shape(rng)
        model = one_op(op, [("float32", dims)], [("float32", dims)], _attrs(op, rng))
        agree(model, [(rng.normal(size=dims) * 5).astype(np.float32)])


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "to", "result"), QUANTISED)
def test_quantised(op: str, dtype: str, to: str, result: Quantization, rounds: int) -> None:
    rng = np.random.default_rng(2)
    for turn in range(rounds):
        dims = shape(rng, size=24)
        low, high = (-5.0, -2.5) if dtype == "int16" else (-3.0, 0.0)
        model = one_op(
            op, [(dtype, dims, quantisation(rng, dtype, low, high))], [(to, dims, result)], _attrs(op, rng)
        )
        x = random_inputs(rng, model)[0]
        agree(model, [x if turn % 2 else (x // 8).astype(x.dtype)], "tflm")


@ROUNDS
@pytest.mark.parametrize(("op", "result"), [("softmax", quant(1 / 256)), ("log_softmax", quant(1 / 16, 255))])
def test_uint8_is_litert_s_reference(op: str, result: Quantization, rounds: int) -> None:
    rng = np.random.default_rng(3)
    for _ in range(rounds):
        dims = shape(rng, size=24)
        model = one_op(
            op,
            [("uint8", dims, quantisation(rng, "uint8", -3, 0))],
            [("uint8", dims, result)],
            _attrs(op, rng),
        )

        check(model, [random_inputs(rng, model)], oracle=_reference)


def test_no_more_than_one_step_from_litert_s_float_tables() -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        dims = shape(rng, size=24)
        model = one_op(
            "softmax",
            [("int8", dims, quantisation(rng, "int8", -3, 0))],
            [("int8", dims, quant(1 / 256, -128))],
            {"beta": 1.0},
        )
        check(model, [random_inputs(rng, model)], steps=1)


def test_rows_of_one_element() -> None:
    q = quant(1 / 256, -128)
    model = one_op("softmax", [("int8", (5, 1), quant(0.1))], [("int8", (5, 1), q)], {"beta": 1.0})
    agree_randomly(np.random.default_rng(5), model, "tflm")


def test_a_scalar_has_no_last_dimension() -> None:
    model = one_op("softmax", [("float32", ())], [("float32", ())], {"beta": 1.0})
    with pytest.raises(ShapeError, match="at least one dimension"):
        Evaluation(model).run([np.zeros((), np.float32)])


def test_log_softmax_has_no_int16() -> None:
    model = one_op("log_softmax", [("int16", (3,), quant(0.1))], [("int16", (3,), quant(0.1))])
    with pytest.raises(UnsupportedError, match="takes 8-bit integers"):
        Evaluation(model).run([np.zeros(3, np.int16)])
