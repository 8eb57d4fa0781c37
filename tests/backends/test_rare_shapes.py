"""Shapes that few models have: empty outputs, sizes known only in a run, constants of one element and many dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.formats.tflite import write
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged.graph.shapes import resize
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned
from support.build import constant, one_op, quant
from support.oracle import litert

Array = np.ndarray[Any, np.dtype[Any]]


def agrees(model: Model, arrays: Sequence[Array]) -> None:
    """The cpu backend gives LiteRT's outputs, fallbacks to NumPy or not; inputs are resized where they differ."""
    wanted = litert(write(model), list(arrays))
    model = resize(model, {t.name: a.shape for t, a in zip(model.main.inputs, arrays, strict=True)})
    model = optimise(model)
    delegate = CpuBackend(threads=1).prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    given, outputs = [], [aligned(w.nbytes) for w in wanted]
    for array in arrays:
        given.append(aligned(array.nbytes))
        given[-1][:] = np.frombuffer(array.tobytes(), np.uint8) if array.nbytes else 0
    delegate.run(RunContext(), [g.data for g in given], [o.data for o in outputs])
    for raw, want in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(np.frombuffer(raw.tobytes(), want.dtype).reshape(want.shape), want)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1)])
def test_one_slope_of_many_dimensions(dtype: str, shape: tuple[int, ...]) -> None:
    """PRELU of 8 bits becomes a table, over an alpha that has as many dimensions as the input."""
    slope = constant(dtype, np.full(shape, 77, dtype), quant(0.02, 3))
    model = one_op("prelu", [(dtype, (1, 2, 5), quant(0.1, 4)), slope], [(dtype, (1, 2, 5), quant(0.07, 9))])
    agrees(model, [np.random.default_rng(0).integers(0, 127, (1, 2, 5)).astype(dtype)])


@pytest.mark.parametrize("quantised", [False, True])
def test_a_window_larger_than_the_image(quantised: bool) -> None:
    dtype, kind = ("int8", "int32") if quantised else ("float32", "float32")
    q, qb = (quant(0.1), quant(0.01)) if quantised else (None, None)
    filters = constant(dtype, np.ones((3, 5, 1, 4), dtype), q)
    bias = constant(kind, np.ones(3, kind), qb)
    attrs = {"padding": "VALID", "stride_h": 2, "stride_w": 1}
    model = one_op("conv_2d", [(dtype, (1, 2, 3, 4), q), filters, bias], [(dtype, (1, 0, 3, 3), q)], attrs, version=3)
    agrees(model, [np.ones((1, 2, 3, 4), dtype)])


def test_a_normalisation_of_nothing() -> None:
    agrees(one_op("l2_normalization", [("float32", (0,))], [("float32", (0,))]), [np.zeros(0, np.float32)])


def test_a_shape_that_the_caller_gives() -> None:
    """RESHAPE whose new shape is an input: nothing about its output is known before the run."""
    model = one_op("reshape", [("float32", (2, 6)), ("int32", (2,))], [("float32", (3, 4))])
    agrees(model, [np.arange(12, dtype=np.float32).reshape(2, 6), np.array([3, -1], np.int32)])


@pytest.mark.parametrize(
    ("op", "second", "out"),
    [("resize_nearest_neighbor", np.array([3, 5], np.int32), (1, 1, 1, 2)), ("topk_v2", np.array(2, np.int32), (1, 1, 1, 1))],
)
def test_a_resized_input_and_a_size_that_the_caller_gives(op: str, second: Array, out: tuple[int, ...]) -> None:
    outputs: list[tuple[str, tuple[int, ...]]] = [("float32", out)]
    if op == "topk_v2":
        outputs.append(("int32", out))
    made = one_op(op, [("float32", (1, 1, 1, 2)), ("int32", second.shape)], outputs)
    first = made.main.inputs[0]
    symbolic = replace(first, signature=(-1, -1, -1, -1))
    (node,) = made.main.nodes
    node = replace(node, inputs=(symbolic, *node.inputs[1:]))
    model = Model((replace(made.main, inputs=(symbolic, *made.main.inputs[1:]), nodes=(node,)),))
    agrees(model, [np.arange(24, dtype=np.float32).reshape(1, 3, 4, 2), second])


def test_sign_keeps_nan() -> None:
    values = np.array([np.nan, -np.inf, -0.0, 0.0, 3.0, 1e-40], np.float32)
    agrees(one_op("sign", [("float32", (6,))], [("float32", (6,))]), [values])


def test_exponentials_beyond_every_float() -> None:
    """Steps of the int16 table that are infinite on both sides correct each other to NaN, which is stored as 0."""
    model = one_op("exp", [("int16", (64,), quant(0.02))], [("int16", (64,), quant(0.001))])
    agrees(model, [np.linspace(-32768, 32767, 64).astype(np.int16)])


@pytest.mark.parametrize("activation", ["NONE", "RELU6"])
def test_a_constant_by_what_may_be_zero(activation: str) -> None:
    """A table of quotients: divisors on both sides of zero, which is itself refused by the reference."""
    one = constant("int8", np.full((1,), 100, np.int8), quant(0.05, 3))
    x = np.array([[-128, -9, 1, 5, 6, 90, 127]], np.int8)
    model = one_op(
        "div", [one, ("int8", x.shape, quant(0.1, 4))], [("int8", x.shape, quant(0.2, -7))],
        {"fused_activation_function": activation},
    )  # fmt: skip
    agrees(model, [x])
