"""L2_NORMALIZATION and LOCAL_RESPONSE_NORMALIZATION against LiteRT and TFLite Micro."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from support.agreement import random_inputs
from support.build import one_op, quant
from support.draw import ROUNDS, agree, quantisation, shape


@ROUNDS
@pytest.mark.parametrize(
    ("dtype", "point", "oracle"),
    [("float32", 0, "litert"), ("int8", 0, "tflm"), ("int8", 0, "litert"), ("uint8", 128, "litert")],
)
def test_l2(dtype: str, point: int, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for turn in range(rounds):
        dims = shape(rng, size=24)
        plain = dtype == "float32"
        source = None if plain else quantisation(rng, dtype)
        result = None if plain else quant(1 / 128, point)
        model = one_op("l2_normalization", [(dtype, dims, source)], [(dtype, dims, result)])
        (x,) = random_inputs(rng, model)
        if turn % 3 == 2:  # a row without length
            x[..., :] = 0 if source is None else source.zero_point
        agree(model, [x], oracle)


@ROUNDS
def test_local_response(rounds: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(rounds):
        dims = shape(rng, 4, 4, 14)
        attrs = {
            "radius": int(rng.integers(0, 6)),
            "bias": 1.5,
            "alpha": 0.25,
            "beta": float(rng.choice([0.5, 0.75, 1.0])),
        }
        model = one_op("local_response_normalization", [("float32", dims)], [("float32", dims)], attrs)
        agree(model, random_inputs(rng, model))


def test_local_response_takes_images() -> None:
    model = one_op("local_response_normalization", [("float32", (2, 3))], [("float32", (2, 3))])
    with pytest.raises(ShapeError, match="4 dimensions"):
        Evaluation(model).run([np.zeros((2, 3), np.float32)])


def test_l2_has_no_int16() -> None:
    model = one_op("l2_normalization", [("int16", (3,), quant(0.1))], [("int16", (3,), quant(0.1))])
    with pytest.raises(UnsupportedError, match="takes 8-bit integers"):
        Evaluation(model).run([np.zeros(3, np.int16)])
