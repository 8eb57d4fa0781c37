"""Transposed convolutions against LiteRT and TFLite Micro; the biased custom op against transpose_conv itself."""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.errors import ModelError
from edged.graph.evaluate import evaluate_node
from edged.graph.model import Model
from edged.graph.ops import table
from support.agreement import COUNTS, LITERT, LITERT_REFERENCE, MICRO, property_test
from support.build import constant, one_op, quant, random_array, random_weights, tensor

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)


def _geometry(rng: Rng) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Attributes, shapes of input, output and filter."""
    rows, channels, outputs = (int(v) for v in (rng.integers(1, 3), rng.integers(1, 6), rng.integers(1, 6)))
    sizes, kernel, stride = rng.integers(1, 8, 2), rng.integers(1, 5, 2), rng.integers(1, 4, 2)
    padding = str(rng.choice(["SAME", "VALID"]))
    out = []
    for size, k, step in zip(sizes.tolist(), kernel.tolist(), stride.tolist(), strict=True):
        extra = int(rng.integers(0, step))
        out.append((size - 1) * step + 1 + extra if padding == "SAME" else (size - 1) * step + k + extra)
    attrs = {
        "padding": padding, "stride_h": int(stride[0]), "stride_w": int(stride[1]),
        "fused_activation_function": str(rng.choice(["NONE", "RELU", "RELU6"])),
    }  # fmt: skip
    return (
        attrs,
        (rows, *sizes.tolist(), channels),
        (rows, *out, outputs),
        (outputs, *kernel.tolist(), channels),
    )


def float_model(rng: Rng) -> Model:
    attrs, source, result, weights = _geometry(rng)
    bias = constant("float32", rng.normal(size=weights[0])) if rng.random() < 0.5 else None
    wanted = constant("int32", np.array(result, np.int32))
    inputs = [wanted, constant("float32", rng.normal(size=weights)), ("float32", source), bias]
    return one_op("transpose_conv", inputs if bias else inputs[:3], [("float32", result)], attrs)


def hybrid_model(rng: Rng) -> Model:
    attrs, source, result, weights = _geometry(rng)
    filters = constant(
        "int8", random_weights(rng, "int8", weights), quant(rng.uniform(0.01, 0.1, weights[0]))
    )
    inputs = [constant("int32", np.array(result, np.int32)), filters, ("float32", source)]
    return one_op("transpose_conv", inputs, [("float32", result)], attrs)


def integer_model(rng: Rng, kind: str, bias_kind: str) -> Model:
    attrs, source, result, shape = _geometry(rng)
    fine = 256 if kind == "int16" else 1
    low, high = {"uint8": (0, 256), "int8": (-128, 128), "int16": (0, 1)}[kind]
    x_scale, outputs = rng.uniform(0.005, 0.1) / fine, shape[0]
    y_scale = rng.uniform(0.05, 0.5) * (np.prod(shape) / outputs) ** 0.5 / fine
    scales = rng.uniform(0.002, 0.2) if kind == "uint8" else rng.uniform(0.002, 0.2, outputs)
    weight_kind, zero = ("uint8", int(rng.integers(1, 256))) if kind == "uint8" else ("int8", 0)
    weights = constant(weight_kind, random_array(rng, weight_kind, shape), quant(scales, zero))
    bias_scales = np.float32(x_scale) * np.asarray(scales, np.float32)
    bias = constant(bias_kind, rng.integers(-20000, 20000, outputs), quant(bias_scales))
    x = tensor(kind, source, quant(x_scale, int(rng.integers(low, high))))
    y = tensor(kind, result, quant(y_scale, int(rng.integers(low, high))))
    if kind == "int16" and bias_kind == "int32":
        attrs["quantized_bias_type"] = "INT32"
    inputs = [constant("int32", np.array(result, np.int32)), weights, x, bias]
    return one_op("transpose_conv", inputs, [y], attrs)


@MANY
def test_float(count: int) -> None:
    property_test(float_model, count, atol=1e-5)


@MANY
def test_hybrid(count: int) -> None:
    """LiteRT adds each product in float32: sums of many lose more than 1e-6."""
    property_test(hybrid_model, count, atol=1e-5)


KINDS = [("uint8", "int32"), ("int8", "int32"), ("int16", "int64"), ("int16", "int32")]


@MANY
@pytest.mark.parametrize(("kind", "bias"), KINDS)
def test_integer(kind: str, bias: str, count: int) -> None:
    make = partial(integer_model, kind=kind, bias_kind=bias)
    property_test(make, count, oracle=LITERT_REFERENCE)
    property_test(make, count, oracle=LITERT, steps=int(kind == "uint8"))


@MANY
@pytest.mark.parametrize(("kind", "bias"), [("int8", "int32"), ("int16", "int64")])
def test_integer_as_micro(kind: str, bias: str, count: int) -> None:
    property_test(partial(integer_model, kind=kind, bias_kind=bias), count, oracle=MICRO)


def _biased(rng: Rng, same: bool) -> tuple[Model, Model]:
    """The custom op, and the builtin that has to give the same."""
    sizes, kernel, stride = (rng.integers(1, 6, 2).tolist() for _ in range(3))
    channels, outputs = rng.integers(1, 5, 2).tolist()
    weights, bias = rng.normal(size=(outputs, *kernel, channels)), rng.normal(size=outputs)
    options = struct.pack("<3i", 1 if same else 2, stride[1], stride[0]) + bytes(8)
    source = ("float32", (1, *sizes, channels))
    parts = [constant("float32", weights), constant("float32", bias)]
    custom = one_op(
        "custom:Convolution2DTransposeBias",
        [source, *parts],
        [("float32", (1, 1, 1, outputs))],
        options=options,
    )
    node = custom.main.nodes[0]
    (result,) = table()[node.kind].infer(node, [t.shape for t in node.inputs if t], lambda _i: None)
    assert result is not None
    attrs = {"padding": "SAME" if same else "VALID", "stride_h": stride[0], "stride_w": stride[1]}
    wanted = constant("int32", np.array(result, np.int32))
    builtin = one_op("transpose_conv", [wanted, parts[0], source, parts[1]], [("float32", result)], attrs)
    return custom, builtin


@pytest.mark.parametrize("same", [False, True])
def test_biased_custom_op_is_transpose_conv_with_its_own_output_size(same: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        custom, builtin = (m.main.nodes[0] for m in _biased(rng, same))
        x = random_array(rng, "float32", custom.input(0).shape)
        weights, bias = (rng.normal(size=custom.input(i).shape).astype(np.float32) for i in (1, 2))
        wanted = np.array(builtin.outputs[0].shape, np.int32)
        (ours,) = evaluate_node(custom, [x, weights, bias])
        (theirs,) = evaluate_node(builtin, [wanted, weights, x, bias])
        np.testing.assert_array_equal(ours, theirs)


def test_options_that_are_too_short_are_refused() -> None:
    custom, _ = _biased(np.random.default_rng(0), True)
    node = custom.main.nodes[0]
    broken = type(node)(node.op, node.inputs, node.outputs, node.attrs, 1, node.custom_code, b"\1\0\0\0")
    with pytest.raises(ModelError, match="4 bytes of options, 12 are needed"):
        table()[node.kind].infer(broken, [t.shape for t in node.inputs if t], lambda _i: None)
