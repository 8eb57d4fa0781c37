"""QUANTIZE, DEQUANTIZE, FAKE_QUANT, CAST, BITCAST and DENSIFY against LiteRT and TFLite Micro."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.errors import ModelError, ShapeError
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Sparsity, Tensor
from support.agreement import random_inputs
from support.build import one_op, quant, random_array, tensor
from support.draw import ROUNDS, agree, agree_randomly, quantisation, shape

REQUANTISED = [
    ("int8", "int8", "tflm"), ("int8", "uint8", "tflm"), ("uint8", "int8", "tflm"), ("int8", "int16", "tflm"),
    ("int8", "int32", "tflm"), ("int16", "int8", "tflm"), ("int16", "int16", "tflm"), ("int16", "int32", "tflm"),
    ("int32", "int8", "tflm"), ("int32", "int16", "tflm"), ("uint8", "int16", "litert"),
]  # fmt: skip
CASTS = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool", "complex64",
)  # fmt: skip


@ROUNDS
@pytest.mark.parametrize("to", ["int8", "uint8", "int16", "int4"])
def test_floats_to_integers(to: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        dims = shape(rng)
        model = one_op("quantize", [("float32", dims)], [(to, dims, quantisation(rng, to, -3, 0))])
        agree_randomly(rng, model)


@pytest.mark.parametrize("to", ["int8", "uint8", "int16"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_floats_to_integers_by_channel(to: str, axis: int) -> None:
    rng, dims = np.random.default_rng(2), (4, 5, 6)
    q = quant(rng.uniform(0.002, 0.05, dims[axis]), 0, axis)
    agree_randomly(rng, one_op("quantize", [("float32", dims)], [(to, dims, q)]))


@ROUNDS
@pytest.mark.parametrize(("dtype", "to", "oracle"), REQUANTISED)
def test_integers_to_integers(dtype: str, to: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(3)
    for turn in range(rounds):
        dims = shape(rng)
        source = quantisation(rng, dtype, -7, -5) if dtype == "int32" else quantisation(rng, dtype)
        result = quantisation(rng, to)
        if turn == 0 and {dtype, to} == {"int8", "uint8"}:  # the same real values, shifted by 128
            result = quant(source.scale, source.zero_point + (128 if to == "uint8" else -128))
        agree_randomly(rng, one_op("quantize", [(dtype, dims, source)], [(to, dims, result)]), oracle)


@ROUNDS
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "float16"])
def test_integers_to_floats(dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(rounds):
        dims = shape(rng)
        q = None if dtype == "float16" else quantisation(rng, dtype)
        agree_randomly(rng, one_op("dequantize", [(dtype, dims, q)], [("float32", dims)]))


@pytest.mark.parametrize("dtype", ["int4", "int8", "uint8"])
@pytest.mark.parametrize("axis", [None, 0, 2])
def test_constants_to_floats(dtype: str, axis: int | None) -> None:
    rng, dims = np.random.default_rng(5), (3, 5, 7)
    q = quant(0.25, 1) if axis is None else quant(rng.uniform(0.002, 0.05, dims[axis]), 0, axis)
    weights = tensor(dtype, dims, q, random_array(rng, dtype, dims))
    agree(one_op("dequantize", [weights], [("float32", dims)]), [])


@ROUNDS
def test_fake_quantisation(rounds: int) -> None:
    rng = np.random.default_rng(6)
    for _ in range(rounds):
        dims = shape(rng)
        attrs = {
            "min": -float(rng.uniform(0, 3)),
            "max": float(rng.uniform(0.1, 5)),
            "num_bits": int(rng.integers(2, 17)),
        }
        attrs = {k: float(np.float32(v)) if isinstance(v, float) else v for k, v in attrs.items()}
        agree_randomly(rng, one_op("fake_quant", [("float32", dims)], [("float32", dims)], attrs))


def _cast(dtype: str, to: str, x: np.ndarray[Any, Any]) -> None:
    attrs = {"in_data_type": dtype.upper(), "out_data_type": to.upper()}
    agree(one_op("cast", [(dtype, x.shape)], [(to, x.shape)], attrs), [x])


@pytest.mark.parametrize("dtype", CASTS)
@pytest.mark.parametrize("to", CASTS)
def test_every_cast(dtype: str, to: str) -> None:
    rng = np.random.default_rng(7)
    if dtype == "complex64":
        _cast(dtype, to, (rng.normal(size=40) * 50 + 1j).astype(np.complex64))
        return
    x = random_array(rng, dtype, (40,))
    _cast(dtype, to, (x * 90).astype(x.dtype) if dtype.startswith("float") else x)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
@pytest.mark.parametrize("to", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_casts_saturate(dtype: str, to: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 6e4, -6e4, 0.5, -0.5, 127.9, -128.9, 255.9, 0.0], dtype)
    if dtype != "float16":
        x = np.append(x, np.array([1e30, -1e30, 2**31, 2**63, -(2.0**31)], dtype))
    _cast(dtype, to, x)


@pytest.mark.parametrize(
    ("dtype", "to", "dims", "out"),
    [
        ("float32", "int32", (3, 2), (3, 2)), ("int32", "int8", (3, 2), (3, 2, 4)), ("int8", "int32", (3, 4), (3,)),
        ("uint8", "int8", (5,), (5,)), ("int16", "float32", (3, 2), (3,)),
    ],
)  # fmt: skip
def test_bitcast(dtype: str, to: str, dims: tuple[int, ...], out: tuple[int, ...]) -> None:
    agree_randomly(np.random.default_rng(8), one_op("bitcast", [(dtype, dims)], [(to, out)]))


def _sparse(values: np.ndarray[Any, Any], dims: tuple[int, ...], sparsity: Sparsity) -> Tensor:
    return Tensor(
        "weights", DType(str(values.dtype)), dims, data=memoryview(values.tobytes()), sparsity=sparsity
    )


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_rows_of_a_sparse_matrix(dtype: str) -> None:
    """3 x 4 with the second dimension compressed: 1 at (0, 1), 2 and 3 at (2, 0) and (2, 3)."""
    sparsity = Sparsity((0, 1), (), ((3, None), ((0, 1, 1, 3), (1, 0, 3))))
    weights = _sparse(np.array([1, 2, 3], dtype), (3, 4), sparsity)
    model = one_op("densify", [weights], [(dtype, (3, 4))])
    (found,) = Evaluation(model).run([]).values()
    assert found.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [2, 0, 0, 3]]
    agree(model, [])


def test_blocks_of_a_sparse_matrix() -> None:
    """4 x 4 in blocks of 2 x 2, of which the upper right and the lower left are stored."""
    sparsity = Sparsity((0, 1, 2, 3), (0, 1), ((2, None), ((0, 1, 2), (1, 0)), (2, None), (2, None)))
    weights = _sparse(np.arange(1, 9, dtype=np.float32), (4, 4), sparsity)
    model = one_op("densify", [weights], [("float32", (4, 4))])
    (found,) = Evaluation(model).run([]).values()
    assert found.tolist() == [[0, 0, 1, 2], [0, 0, 3, 4], [5, 6, 0, 0], [7, 8, 0, 0]]
    agree(model, [])


def test_integers_without_quantisation() -> None:
    with pytest.raises(ModelError, match="needs the input's quantisation"):
        Evaluation(one_op("dequantize", [("int8", (2,))], [("float32", (2,))])).run([np.zeros(2, np.int8)])
    with pytest.raises(ModelError, match="without a quantisation"):
        Evaluation(one_op("quantize", [("float32", (2,))], [("int8", (2,))])).run([np.zeros(2, np.float32)])


def test_scales_that_do_not_fit_their_axis() -> None:
    model = one_op("dequantize", [("int8", (2, 3), quant([0.1, 0.2], 0, 1))], [("float32", (2, 3))])
    with pytest.raises(ShapeError, match=r"2 scales along axis 1 do not fit shape \(2, 3\)"):
        Evaluation(model).run([np.zeros((2, 3), np.int8)])


def test_a_bitcast_that_does_not_fit() -> None:
    model = one_op("bitcast", [("int8", (2, 3))], [("int32", (2,))])
    with pytest.raises(ShapeError, match="from 8 to 32 bits"):
        Evaluation(model).run(random_inputs(np.random.default_rng(9), model))


@pytest.mark.parametrize(("low", "high"), [(1.0, 2.0), (-3.0, -0.5)])
def test_fake_quantisation_that_does_not_span_zero(low: float, high: float) -> None:
    """The range moves until it does, as LiteRT's."""
    attrs = {"min": low, "max": high, "num_bits": 8}
    agree_randomly(np.random.default_rng(5), one_op("fake_quant", [("float32", (9,))], [("float32", (9,))], attrs))


def test_fake_quantisation_without_a_range() -> None:
    model = one_op(
        "fake_quant", [("float32", (2,))], [("float32", (2,))], {"min": 2.0, "max": 2.0, "num_bits": 8}
    )
    with pytest.raises(ModelError, match="is no range"):
        Evaluation(model).run([np.zeros(2, np.float32)])
