"""Convolutions on random shapes, strides, dilations, groups, zero points and scales, against LiteRT and Micro."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.errors import ShapeError
from edged.graph.evaluate import evaluate_node
from edged.graph.model import DType, Model, Node
from edged.graph.ops import table
from edged.graph.ops.geometry import axis
from support.agreement import COUNTS, LITERT, LITERT_REFERENCE, MICRO, property_test
from support.build import constant, one_op, quant, random_array, random_weights, tensor

Rng = np.random.Generator
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def _window(rng: Rng) -> tuple[dict[str, Any], list[int], list[int], list[int]]:
    """Attributes, kernel, input and output sizes (height, width) of a random window."""
    kernel, stride = rng.integers(1, 4, 2).tolist(), rng.integers(1, 4, 2).tolist()
    dilation = rng.integers(1, 3, 2).tolist() if rng.random() < 0.4 else [1, 1]
    padding = str(rng.choice(["SAME", "VALID"]))
    sizes = [max(int(rng.integers(3, 12)), (k - 1) * d + 1) for k, d in zip(kernel, dilation, strict=True)]
    out = [
        axis(padding, s, k, t, d, (0, 0), "test").out
        for s, k, t, d in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    attrs = {
        "padding": padding, "stride_h": stride[0], "stride_w": stride[1],
        "dilation_h_factor": dilation[0], "dilation_w_factor": dilation[1],
        "fused_activation_function": str(rng.choice(ACTIVATIONS)),
    }  # fmt: skip
    return attrs, kernel, sizes, out


def _shapes(rng: Rng, op: str, kernel: list[int], groups: bool) -> tuple[int, int, tuple[int, ...]]:
    """Input channels, output channels, filter shape."""
    channels = int(rng.integers(1, 9))
    if op == "depthwise_conv_2d":
        outputs = channels * int(rng.integers(1, 4))
        return channels, outputs, (1, *kernel, outputs)
    split = int(rng.integers(1, 4)) if groups and rng.random() < 0.3 else 1
    outputs = int(rng.integers(1, 9)) * split
    return channels * split, outputs, (outputs, *kernel, channels)


def float_model(rng: Rng, op: str) -> Model:
    attrs, kernel, sizes, out = _window(rng)
    channels, outputs, weights = _shapes(rng, op, kernel, True)
    rows = int(rng.integers(1, 3))
    x = tensor("float32", (rows, *sizes, channels))
    filters = constant("float32", rng.normal(size=weights))
    bias = constant("float32", rng.normal(size=outputs))
    return one_op(op, [x, filters, bias], [("float32", (rows, *out, outputs))], attrs)


def integer_model(rng: Rng, op: str, kind: str, weight_kind: str, bias_kind: str, per_channel: bool) -> Model:
    attrs, kernel, sizes, out = _window(rng)
    channels, outputs, shape = _shapes(rng, op, kernel, kind != "uint8")
    fine = 256 if kind == "int16" else 1
    low, high = {"uint8": (0, 256), "int8": (-128, 128), "int16": (0, 1)}[kind]
    x_scale = rng.uniform(0.005, 0.1) / fine
    y_scale = rng.uniform(0.05, 0.5) * (np.prod(shape) / outputs) ** 0.5 / fine
    scales = rng.uniform(0.002, 0.2, outputs) if per_channel else rng.uniform(0.002, 0.2)
    weight_zero = int(rng.integers(1, 256)) if weight_kind == "uint8" else 0
    axis_of = (3 if op == "depthwise_conv_2d" else 0) if per_channel else 0
    rows = int(rng.integers(1, 3))
    x = tensor(kind, (rows, *sizes, channels), quant(x_scale, int(rng.integers(low, high))))
    y = tensor(kind, (rows, *out, outputs), quant(y_scale, int(rng.integers(low, high))))
    weights = constant(
        weight_kind, random_array(rng, weight_kind, shape), quant(scales, weight_zero, axis_of)
    )
    bias_scales = np.float32(x_scale) * np.asarray(scales, np.float32)
    bias = constant(bias_kind, rng.integers(-20000, 20000, outputs), quant(bias_scales))
    if kind == "int16" and bias_kind == "int32":
        attrs["quantized_bias_type"] = "INT32"
    if op == "depthwise_conv_2d":
        attrs["depth_multiplier"] = outputs // channels
    return one_op(op, [x, weights, bias], [y], attrs)


def hybrid_model(rng: Rng, op: str, weight_kind: str, per_channel: bool) -> Model:
    attrs, kernel, sizes, out = _window(rng)
    channels, outputs, shape = _shapes(rng, op, kernel, per_channel)
    scales = rng.uniform(0.001, 0.1, outputs) if per_channel else rng.uniform(0.001, 0.1)
    axis_of = (3 if op == "depthwise_conv_2d" else 0) if per_channel else 0
    rows = int(rng.integers(1, 3))
    weights = constant(weight_kind, random_weights(rng, weight_kind, shape), quant(scales, 0, axis_of))
    bias = constant("float32", rng.normal(size=outputs))
    x = tensor("float32", (rows, *sizes, channels))
    return one_op(op, [x, weights, bias], [("float32", (rows, *out, outputs))], attrs)


BOTH = pytest.mark.parametrize("op", ["conv_2d", "depthwise_conv_2d"])
MANY = pytest.mark.parametrize("count", COUNTS)


@BOTH
@MANY
def test_float(op: str, count: int) -> None:
    property_test(partial(float_model, op=op), count, atol=5e-6)


@BOTH
@MANY
@pytest.mark.parametrize(
    ("kind", "weights", "bias", "per_channel"),
    [
        ("uint8", "uint8", "int32", False),
        ("int8", "int8", "int32", True),
        ("int8", "int8", "int32", False),
        ("int8", "int4", "int32", True),
        ("int16", "int8", "int64", True),
        ("int16", "int8", "int64", False),
    ],
)
def test_integer(op: str, kind: str, weights: str, bias: str, per_channel: bool, count: int) -> None:
    """Equal to the reference kernels' bytes; within one of the optimised ones, which round ties upwards."""
    make = partial(
        integer_model, op=op, kind=kind, weight_kind=weights, bias_kind=bias, per_channel=per_channel
    )
    property_test(make, count, oracle=LITERT_REFERENCE)
    property_test(make, count, oracle=LITERT, steps=1)


@MANY
@pytest.mark.parametrize(("kind", "bias"), [("int8", "int32"), ("int16", "int64")])
@BOTH
def test_integer_as_micro(op: str, kind: str, bias: str, count: int) -> None:
    make = partial(integer_model, op=op, kind=kind, weight_kind="int8", bias_kind=bias, per_channel=True)
    property_test(make, count, oracle=MICRO)


@MANY
def test_int16_with_int32_bias(count: int) -> None:
    make = partial(
        integer_model, op="conv_2d", kind="int16", weight_kind="int8", bias_kind="int32", per_channel=True
    )
    property_test(make, count, oracle=LITERT_REFERENCE)


@MANY
@pytest.mark.parametrize(
    ("op", "weights", "per_channel"),
    [
        ("conv_2d", "int8", True),
        ("conv_2d", "int8", False),
        ("conv_2d", "int4", True),
        ("conv_2d", "int4", False),
        ("conv_2d", "uint8", False),
        ("depthwise_conv_2d", "int8", True),
    ],
)
def test_hybrid(op: str, weights: str, per_channel: bool, count: int) -> None:
    property_test(partial(hybrid_model, op=op, weight_kind=weights, per_channel=per_channel), count)


@BOTH
def test_inferred_shapes_are_the_computed_ones(op: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        node = float_model(rng, op).main.nodes[0]
        shapes = [t.shape for t in node.inputs if t is not None]
        (inferred,) = table()[op].infer(node, shapes, lambda _i: None)
        assert inferred == node.outputs[0].shape
        cost = table()[op].macs
        assert cost is not None
        assert cost(node, shapes, [node.outputs[0].shape]) == _loops(node)


def _loops(node: Node) -> int:
    """Multiplications of the plain loops."""
    weights = node.input(1).shape
    depth = 1 if node.op == "depthwise_conv_2d" else weights[3]
    return int(np.prod(node.outputs[0].shape)) * weights[1] * weights[2] * depth


def test_channels_that_do_not_divide_are_refused() -> None:
    model = one_op(
        "conv_2d",
        [("float32", (1, 4, 4, 5)), constant("float32", np.zeros((2, 1, 1, 2))), None],
        [("float32", (1, 4, 4, 2))],
        {"padding": "SAME", "stride_h": 1, "stride_w": 1},
    )
    with pytest.raises(ShapeError, match="5 input channels are not a multiple of the filter's 2"):
        table()["conv_2d"].infer(model.main.nodes[0], [(1, 4, 4, 5), (2, 1, 1, 2), None], lambda _i: None)


def test_no_bias_is_a_zero_bias() -> None:
    rng = np.random.default_rng(3)
    node = integer_model(rng, "conv_2d", "int8", "int8", "int32", True).main.nodes[0]
    x = random_array(rng, DType.INT8, node.input(0).shape)
    weights = random_array(rng, DType.INT8, node.input(1).shape)
    zeros = np.zeros(weights.shape[0], np.int32)
    assert np.array_equal(evaluate_node(node, [x, weights])[0], evaluate_node(node, [x, weights, zeros])[0])
