"""Quantise, dequantise, requantise and cast through every kernel, against LiteRT or the reference."""

from __future__ import annotations

import numpy as np
import pytest

from support.build import one_op, quant, random_array
from support.lowered import agree


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
