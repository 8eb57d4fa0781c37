"""uint8 tensors are int8 inside a program: ops whose rounding could tell the difference, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.graph.model import Model
from support.build import constant, one_op, quant, random_array
from support.lowered import agree

A, B, OUT = quant(0.05, 120), quant(0.031, 97), quant(0.043, 131)
MASKS = ("", "none")


def i32(*values: Any) -> Any:
    return constant("int32", np.array(values, np.int32))


def check(model: Model) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        agree(model, [random_array(rng, str(t.dtype), t.shape) for t in model.main.inputs], masks=MASKS)


@pytest.mark.parametrize("op", ["mean", "reduce_max", "reduce_min"])
@pytest.mark.parametrize("axes", [(1, 2), (3,), (1,)])
def test_reductions(op: str, axes: tuple[int, ...]) -> None:
    shape = (2, 6, 5, 9)
    out = tuple(1 if i in axes else n for i, n in enumerate(shape))
    result = A if op.startswith("reduce") else OUT
    check(one_op(op, [("uint8", shape, A), i32(*axes)], [("uint8", out, result)], {"keep_dims": True}))


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("op", ["resize_bilinear", "resize_nearest_neighbor"])
def test_resizing(op: str, flags: tuple[bool, bool]) -> None:
    attrs = {"align_corners": flags[0], "half_pixel_centers": flags[1]}
    check(one_op(op, [("uint8", (2, 5, 7, 11), A), i32(9, 13)], [("uint8", (2, 9, 13, 11), A)], attrs))


@pytest.mark.parametrize("op", ["add", "sub", "mul", "maximum", "minimum"])
def test_pairs(op: str) -> None:
    same = op in ("maximum", "minimum")
    pair = [("uint8", (4, 33), A), ("uint8", (33,), A if same else B)]
    check(one_op(op, pair, [("uint8", (4, 33), A if same else OUT)]))


@pytest.mark.parametrize("op", ["equal", "less", "greater_equal"])
def test_comparisons(op: str) -> None:
    check(one_op(op, [("uint8", (4, 33), A), ("uint8", (33,), B)], [("bool", (4, 33))]))


def test_softmax_concatenation_and_pads() -> None:
    check(one_op("softmax", [("uint8", (3, 40), A)], [("uint8", (3, 40), quant(1 / 256, 0))], {"beta": 1.0}))
    check(
        one_op(
            "concatenation", [("uint8", (3, 4), A), ("uint8", (3, 5), B)], [("uint8", (3, 9), A)], {"axis": 1}
        )
    )
    value = constant("uint8", np.array([9], np.uint8), A)
    pads = constant("int32", np.array([[1, 0], [2, 1]], np.int32))
    check(one_op("padv2", [("uint8", (3, 4), A), pads, value], [("uint8", (4, 7), A)]))


def test_plain_uint8_stays_as_it_is() -> None:
    """Without a scale, uint8 is no quantised tensor: its bytes are its values."""
    check(one_op("transpose", [("uint8", (3, 4)), i32(1, 0)], [("uint8", (4, 3))]))
    check(one_op("cast", [("uint8", (3, 40))], [("float32", (3, 40))]))
    check(one_op("equal", [("uint8", (3, 4)), ("uint8", (3, 4))], [("bool", (3, 4))]))
