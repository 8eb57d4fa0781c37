"""Reductions over random axes through every kernel, against LiteRT and TFLite Micro."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.graph.model import Model
from support.build import constant, one_op, quant, random_array
from support.lowered import agree

Rng = np.random.Generator


def reduction(rng: Rng, op: str, dtype: str, quantised: bool = False) -> Model:
    rank = int(rng.integers(1, 5))
    shape = tuple(int(n) for n in rng.integers(1, 40 if rank < 3 else 9, rank))
    axes = sorted(rng.choice(rank, int(rng.integers(1, rank + 1)), replace=False))
    keep = bool(rng.integers(2))
    out = tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)
    given = np.array([a - rank * int(rng.integers(2)) for a in axes], np.int32)
    q: list[Any] = [None, None]
    if quantised:
        zero = 0 if dtype == "int16" else 7
        q = [quant(rng.uniform(0.01, 0.1), zero), quant(rng.uniform(0.01, 0.1), -zero)]
    kind = "bool" if op in ("reduce_any", "reduce_all") else dtype
    return one_op(
        op, [(kind, shape, q[0]), constant("int32", given)], [(kind, out, q[1])], {"keep_dims": keep}
    )


@pytest.mark.parametrize("op", ["sum", "mean", "reduce_prod", "reduce_max", "reduce_min"])
def test_f32_equals_litert(op: str) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        model = reduction(rng, op, "float32")
        x = rng.uniform(0.5, 1.5, model.main.inputs[0].shape).astype(np.float32)
        agree(model, [x], oracle="litert", rtol=3e-5)


@pytest.mark.parametrize("op", ["sum", "reduce_prod", "reduce_max", "reduce_min"])
def test_int32_equals_litert(op: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = reduction(rng, op, "int32")
        agree(model, [rng.integers(-3, 4, model.main.inputs[0].shape).astype(np.int32)], oracle="litert")


@pytest.mark.parametrize("op", ["reduce_any", "reduce_all"])
def test_bools_equal_litert(op: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = reduction(rng, op, "bool")
        agree(
            model,
            [rng.integers(0, 6, model.main.inputs[0].shape) > int(op == "reduce_any") * 4],
            oracle="litert",
        )


@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("op", ["sum", "mean"])
def test_quantised_sums_equal_tflite_micro(op: str, dtype: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = reduction(rng, op, dtype, True)
        if model.main.outputs[0].shape:
            agree(model, [random_array(rng, dtype, model.main.inputs[0].shape)], oracle="tflm")


@pytest.mark.parametrize("op", ["arg_max", "arg_min"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "int32"])
def test_index_of_extreme_equals_litert(op: str, dtype: str) -> None:
    for axis in (-1, 0, 1):
        rng = np.random.default_rng(axis + 5)
        shape = (4, 5, 6)
        out = tuple(n for i, n in enumerate(shape) if i != axis % 3)
        attrs = {"output_type": "INT32"}
        model = one_op(
            op, [(dtype, shape), constant("int32", np.array([axis], np.int32))], [("int32", out)], attrs
        )
        agree(model, [rng.integers(-4, 5, shape).astype(dtype)], oracle="litert")
