"""Resizing through every kernel, against LiteRT."""

from __future__ import annotations

import numpy as np
import pytest

from support.build import constant, one_op, quant, random_array
from support.lowered import agree


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
