"""Functions of one tensor, conversions, pooling and resizing through every kernel, against the reference or LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.build import constant, one_op, quant, random_array
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


@pytest.mark.parametrize("source", ["float32", "int8", "uint8", "int16"])
@pytest.mark.parametrize("result", ["int8", "uint8", "int16"])
def test_quantise_and_requantise(source: str, result: str) -> None:
    if source == "uint8" and result == "int16":
        return
    rng = np.random.default_rng(2)
    zeros = {"int8": -5, "uint8": 120, "int16": 0}
    entry = (source, (4, 90), None if source == "float32" else quant(0.05, zeros[source]))
    model = one_op("quantize", [entry], [(result, (4, 90), quant(0.03, zeros[result]))])
    x = (
        rng.normal(0, 3, (4, 90)).astype(np.float32)
        if source == "float32"
        else random_array(rng, source, (4, 90))
    )
    agree(model, [x], oracle="litert" if source == "float32" else "reference")


def test_quantise_rounds_ties_away_and_clamps() -> None:
    """As TFLite Micro; LiteRT rounds ties to even and wraps what is too large."""
    ties = [0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, -0.49999997, 1e30, -1e30, 127.5, 126.5]
    x = np.array(ties, np.float32)
    agree(one_op("quantize", [("float32", x.shape)], [("int8", x.shape, quant(1.0, 7))]), [x])


@pytest.mark.parametrize("source", ["int8", "uint8", "int16", "float16"])
def test_dequantise(source: str) -> None:
    q = None if source == "float16" else quant(0.05, {"int8": 9, "uint8": 99, "int16": 0}[source])
    x = random_array(np.random.default_rng(3), source, (5, 77))
    agree(one_op("dequantize", [(source, (5, 77), q)], [("float32", (5, 77))]), [x], oracle="litert")


@pytest.mark.parametrize("source", ["float32", "int8", "uint8", "int16", "int32", "int64", "bool"])
@pytest.mark.parametrize("result", ["float32", "int8", "uint8", "int32", "int64", "bool"])
def test_casts(source: str, result: str) -> None:
    x = np.random.default_rng(4).integers(0, 3 if source == "bool" else 100, (3, 50)).astype(source)
    agree(one_op("cast", [(source, (3, 50))], [(result, (3, 50))]), [x], oracle="litert")


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int16"])
@pytest.mark.parametrize("op", ["average_pool_2d", "max_pool_2d"])
def test_pools(op: str, dtype: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        kernel, stride = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        same, size = bool(rng.integers(2)), int(rng.integers(5, 12))
        out = -(-size // stride) if same else -(-(size - kernel + 1) // stride)
        q = None if dtype == "float32" else quant(0.05, {"int8": -9, "uint8": 99, "int16": 0}[dtype])
        attrs: dict[str, Any] = {
            "padding": "SAME" if same else "VALID", "filter_width": kernel, "filter_height": kernel, "stride_w": stride,
            "stride_h": stride, "fused_activation_function": "RELU" if seed % 2 else "NONE",
        }  # fmt: skip
        shape = (2, size, size, int(rng.integers(1, 90)))
        model = one_op(op, [(dtype, shape, q)], [(dtype, (2, out, out, shape[3]), q)], attrs)
        agree(model, [random_array(rng, dtype, shape)], oracle="litert")


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("op", ["resize_bilinear", "resize_nearest_neighbor"])
@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
def test_resizes(op: str, dtype: str, flags: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(5)
    q = None if dtype == "float32" else quant(0.05, -9)
    attrs = {"align_corners": flags[0], "half_pixel_centers": flags[1]}
    for size in ((9, 13), (3, 2), (5, 7), (1, 1)):
        target = constant("int32", np.array(size, np.int32))
        model = one_op(op, [(dtype, (2, 5, 7, 11), q), target], [(dtype, (2, *size, 11), q)], attrs)
        agree(model, [random_array(rng, dtype, (2, 5, 7, 11))], oracle="litert", atol=2e-6)
