"""Convolutions over volumes against LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.graph.model import Model
from edged.graph.ops import table
from edged.graph.ops.geometry import axis
from support.agreement import COUNTS, property_test
from support.build import constant, one_op

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)


def _window(rng: Rng, dilate: bool) -> tuple[dict[str, Any], list[int], list[int], list[int]]:
    """Attributes, kernel, strides, dilations."""
    kernel, stride = rng.integers(1, 4, 3).tolist(), rng.integers(1, 3, 3).tolist()
    dilation = rng.integers(1, 3, 3).tolist() if dilate and rng.random() < 0.4 else [1, 1, 1]
    attrs: dict[str, Any] = {f"stride_{n}": s for n, s in zip("dhw", stride, strict=True)}
    attrs |= {f"dilation_{n}_factor": d for n, d in zip("dhw", dilation, strict=True)}
    attrs["padding"] = str(rng.choice(["SAME", "VALID"]))
    attrs["fused_activation_function"] = str(rng.choice(["NONE", "RELU", "RELU6"]))
    return attrs, kernel, stride, dilation


def conv_model(rng: Rng) -> Model:
    attrs, kernel, stride, dilation = _window(rng, True)
    rows, channels, outputs = rng.integers(1, 4, 3).tolist()
    sizes = [max(int(rng.integers(1, 7)), (k - 1) * d + 1) for k, d in zip(kernel, dilation, strict=True)]
    out = [
        axis(attrs["padding"], s, k, t, d, (0, 0), "test").out
        for s, k, t, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    weights = constant("float32", rng.normal(size=(*kernel, channels, outputs)))
    bias = constant("float32", rng.normal(size=outputs))
    source, result = ("float32", (rows, *sizes, channels)), ("float32", (rows, *out, outputs))
    return one_op("conv_3d", [source, weights, bias], [result], attrs)


def transpose_model(rng: Rng) -> Model:
    attrs, kernel, stride, _ = _window(rng, False)
    rows, channels, outputs = rng.integers(1, 4, 3).tolist()
    sizes = rng.integers(1, 5, 3).tolist()
    same = attrs["padding"] == "SAME"
    out = [(n - 1) * s + (1 if same else k) for n, s, k in zip(sizes, stride, kernel, strict=True)]
    shape = (rows, *out, outputs)
    inputs = [
        constant("int32", np.array(shape, np.int32)),
        constant("float32", rng.normal(size=(*kernel, outputs, channels))),
        ("float32", (rows, *sizes, channels)),
        constant("float32", rng.normal(size=outputs)),
    ]
    return one_op("conv_3d_transpose", inputs, [("float32", shape)], attrs)


@MANY
def test_conv_3d(count: int) -> None:
    property_test(conv_model, count, atol=5e-6)


@MANY
def test_conv_3d_transpose(count: int) -> None:
    property_test(transpose_model, count, atol=5e-6)


def test_inferred_shapes_are_the_outputs() -> None:
    for seed in range(10):
        node = conv_model(np.random.default_rng(seed)).main.nodes[0]
        shapes = [t.shape for t in node.inputs if t is not None]
        assert table()["conv_3d"].infer(node, shapes, lambda _i: None)[0] == node.outputs[0].shape
