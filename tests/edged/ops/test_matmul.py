"""Batched matrix products against LiteRT and TFLite Micro."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from edged.errors import ShapeError
from edged.graph.model import Model
from edged.graph.ops import table
from support.agreement import COUNTS, LITERT, MICRO, property_test
from support.build import constant, one_op, quant, random_weights, tensor

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)


def _geometry(
    rng: Rng, ranks: tuple[int, ...] = (3, 4)
) -> tuple[dict[str, bool], tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    """Attributes, shapes of both inputs and of the output, inner size."""
    rows, inner, columns = rng.integers(1, 12, 3).tolist()
    batch = tuple(rng.integers(1, 4, int(rng.choice(ranks)) - 2).tolist())
    other = batch if rng.random() < 0.6 else (1,) * len(batch)
    swap_left, swap_right = bool(rng.random() < 0.4), bool(rng.random() < 0.4)
    left = (*batch, inner, rows) if swap_left else (*batch, rows, inner)
    right = (*other, columns, inner) if swap_right else (*other, inner, columns)
    return {"adj_x": swap_left, "adj_y": swap_right}, left, right, (*batch, rows, columns), inner


def float_model(rng: Rng) -> Model:
    attrs, left, right, result, _ = _geometry(rng)
    return one_op("batch_matmul", [("float32", left), ("float32", right)], [("float32", result)], attrs)


def integer_model(rng: Rng, kind: str) -> Model:
    attrs, left, right, result, inner = _geometry(rng)
    fine, low, high = (256, 0, 1) if kind == "int16" else (1, -128, 128)
    a, b, y = (
        tensor(kind, shape, quant(scale / fine, int(rng.integers(low, high))))
        for shape, scale in (
            (left, rng.uniform(0.01, 0.05)),
            (right, rng.uniform(0.01, 0.05)),
            (result, rng.uniform(0.05, 0.5) * inner**0.5),
        )
    )
    return one_op("batch_matmul", [a, b], [y], attrs)


def hybrid_model(rng: Rng, asymmetric: bool) -> Model:
    attrs, left, right, result, _ = _geometry(rng, ranks=(3,))
    weights = constant("int8", random_weights(rng, "int8", right), quant(rng.uniform(0.01, 0.1)))
    attrs["asymmetric_quantize_inputs"] = asymmetric
    return one_op("batch_matmul", [("float32", left), weights], [("float32", result)], attrs)


@MANY
def test_float(count: int) -> None:
    property_test(float_model, count, atol=5e-6)


@MANY
@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_integer(kind: str, count: int) -> None:
    property_test(partial(integer_model, kind=kind), count, oracle=LITERT, steps=int(kind == "int8"))
    property_test(partial(integer_model, kind=kind), count, oracle=MICRO)


@MANY
@pytest.mark.parametrize("asymmetric", [False, True])
def test_hybrid(asymmetric: bool, count: int) -> None:
    """One batch dimension: with more, LiteRT takes the scales of other rows."""
    property_test(partial(hybrid_model, asymmetric=asymmetric), count, atol=1e-5)


def test_sizes_that_do_not_multiply_are_refused() -> None:
    node = one_op(
        "batch_matmul", [("float32", (2, 3)), ("float32", (4, 5))], [("float32", (2, 5))]
    ).main.nodes[0]
    with pytest.raises(ShapeError, match="do not multiply"):
        table()["batch_matmul"].infer(node, [(2, 3), (4, 5)], lambda _i: None)
