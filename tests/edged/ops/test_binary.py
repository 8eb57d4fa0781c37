"""Binary operators on stored values against LiteRT: dtypes, broadcasts, and the inputs that have no answer."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import InputError, UnsupportedError
from edged.graph.evaluate import Evaluation
from support.agreement import random_inputs
from support.build import one_op, quant
from support.draw import ROUNDS, agree, agree_randomly, broadcasting, shape

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32")
CASES = [
    *(("floor_div", d) for d in ("float32", "int8", "int16", "int32")),
    *(("floor_mod", d) for d in ("float32", "int8", "int16", "int32", "int64")),
    *((op, d) for op in ("maximum", "minimum") for d in ("float32", "int8", "uint8", "int16", "int32", "int64")),
    *((op, d) for op in ("bitwise_xor", "right_shift") for d in INTEGERS),
]  # fmt: skip


@ROUNDS
@pytest.mark.parametrize(("op", "dtype"), CASES)
def test_stored_values(op: str, dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        a, b, out = broadcasting(rng)
        model = one_op(op, [(dtype, a), (dtype, b)], [(dtype, out)])
        x, y = random_inputs(rng, model)
        if op == "right_shift":
            y = rng.integers(0 if dtype[0] == "u" else -3, 40, b).astype(dtype)
        if op.startswith("floor"):
            y = np.where(y == 0, np.asarray(3, y.dtype), y)
        agree(model, [x, y])


@ROUNDS
def test_powers(rounds: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        a, b, out = broadcasting(rng)
        real = one_op("pow", [("float32", a), ("float32", b)], [("float32", out)])
        agree(real, [rng.uniform(0.1, 5, a).astype(np.float32), rng.normal(size=b).astype(np.float32)])
        whole = one_op("pow", [("int32", a), ("int32", b)], [("int32", out)])
        agree(whole, [rng.integers(-6, 7, a).astype(np.int32), rng.integers(0, 9, b).astype(np.int32)])


def test_angles() -> None:
    rng = np.random.default_rng(3)
    dims = shape(rng)
    agree_randomly(rng, one_op("atan2", [("float32", dims), ("float32", dims)], [("float32", dims)]))


def test_remainders_of_floats_have_the_divisor_s_sign() -> None:
    x, y = np.meshgrid(np.array([-7.5, -1, 0, 1, 7.5], np.float32), np.array([-2, -0.3, 0.3, 2], np.float32))
    model = one_op("floor_mod", [("float32", x.shape), ("float32", x.shape)], [("float32", x.shape)])
    agree(model, [x, y])


def test_quantised_maximum_compares_stored_values() -> None:
    rng, q = np.random.default_rng(4), quant(0.02, -7)
    ins = [("int8", (40,), q), ("int8", (40,), q)]
    agree_randomly(rng, one_op("maximum", ins, [("int8", (40,), q)]), "tflm")


@pytest.mark.parametrize("op", ["floor_div", "floor_mod"])
def test_integer_division_by_zero(op: str) -> None:
    model = one_op(op, [("int32", (2,)), ("int32", (2,))], [("int32", (2,))])
    with pytest.raises(InputError, match="by zero"):
        Evaluation(model).run([np.array([1, 2], np.int32), np.array([1, 0], np.int32)])


def test_negative_exponent_of_integers() -> None:
    model = one_op("pow", [("int32", (1,)), ("int32", (1,))], [("int32", (1,))])
    with pytest.raises(InputError, match="negative exponent"):
        Evaluation(model).run([np.array([2], np.int32), np.array([-1], np.int32)])


def test_floats_have_no_exclusive_or() -> None:
    model = one_op("bitwise_xor", [("float32", (1,)), ("float32", (1,))], [("float32", (1,))])
    with pytest.raises(UnsupportedError, match="bitwise_xor has no meaning for float32"):
        Evaluation(model).run([np.zeros(1, np.float32)] * 2)
