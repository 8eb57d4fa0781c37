"""Comparisons against LiteRT and TFLite Micro: dtypes, broadcasts, and different quantisations of both sides."""

from __future__ import annotations

import numpy as np
import pytest

from support.agreement import random_inputs
from support.build import one_op
from support.draw import ROUNDS, agree, broadcasting, quantisation

OPS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
CASES = [
    *((op, d, "litert") for op in OPS for d in ("float32", "int32", "int64", "int8", "uint8", "int16")),
    *((op, "int8", "tflm") for op in OPS), ("equal", "bool", "litert"), ("not_equal", "bool", "litert"),
]  # fmt: skip


@ROUNDS
@pytest.mark.parametrize(("op", "dtype", "oracle"), CASES)
def test_comparisons(op: str, dtype: str, oracle: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for turn in range(rounds):
        a, b, out = broadcasting(rng)
        small = dtype in ("int8", "uint8", "int16")
        q = [quantisation(rng, dtype) if small else None for _ in range(2)]
        if turn % 2:
            q[1] = q[0]
        model = one_op(op, [(dtype, a, q[0]), (dtype, b, q[1])], [("bool", out)])
        x, y = random_inputs(rng, model)
        if turn % 2:
            y = np.broadcast_to(x.reshape(-1)[0], y.shape).copy()
        agree(model, [x, y], oracle)
