"""Functions of one tensor through every kernel, against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from support.build import one_op, quant, random_array
from support.lowered import agree

REAL = [
    "relu", "relu6", "relu_n1_to_1", "leaky_relu", "hard_swish", "logistic", "tanh", "exp", "elu", "abs", "neg",
    "square", "sin", "cos", "floor", "ceil", "round", "sign", "gelu",
]  # fmt: skip
TABLED = ["relu", "relu6", "leaky_relu", "hard_swish", "logistic", "tanh", "elu", "abs", "exp", "gelu"]


@pytest.mark.parametrize("op", REAL)
def test_f32_equals_the_reference(op: str) -> None:
    rng = np.random.default_rng(0)
    attrs = {"alpha": 0.3} if op == "leaky_relu" else {}
    for n in (1, 17, 500):
        x = np.concatenate([rng.normal(0, 3, n), [0.0, -0.5, 2.5, 30.0, -30.0]]).astype(np.float32)
        agree(one_op(op, [("float32", x.shape)], [("float32", x.shape)], attrs), [x], atol=1e-6)


@pytest.mark.parametrize("op", ["sqrt", "rsqrt", "log"])
def test_f32_of_positive_numbers(op: str) -> None:
    x = np.random.default_rng(0).uniform(0.01, 50, 333).astype(np.float32)
    agree(one_op(op, [("float32", x.shape)], [("float32", x.shape)]), [x])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("op", TABLED)
def test_tables_equal_the_reference(op: str, dtype: str) -> None:
    if dtype == "uint8" and op in ("abs", "gelu", "exp", "elu"):
        return
    if dtype == "int16" and op in ("relu", "relu6", "hard_swish", "elu", "gelu"):
        return
    rng = np.random.default_rng(1)
    zero, out = (0, 0) if dtype == "int16" else (10, -20) if dtype == "int8" else (130, 60)
    scale = 1 / 32768 if dtype == "int16" else 0.02
    q = quant(0.0003 if dtype == "int16" else 0.04, zero), quant(scale, out)
    if op in ("logistic", "tanh"):
        fixed = {
            "int8": {"logistic": (1 / 256, -128), "tanh": (1 / 128, 0)},
            "uint8": {"logistic": (1 / 256, 0), "tanh": (1 / 128, 128)},
        }
        q = q[0], quant(*fixed[dtype][op]) if dtype in fixed else quant(1 / 32768)
    attrs = {"alpha": 0.3} if op == "leaky_relu" else {}
    model = one_op(op, [(dtype, (3, 200), q[0])], [(dtype, (3, 200), q[1])], attrs)
    agree(model, [random_array(rng, dtype, (3, 200))])
