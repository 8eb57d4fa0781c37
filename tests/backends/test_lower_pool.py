"""Pooling through every kernel, against LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.build import one_op, quant, random_array
from support.lowered import agree


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
