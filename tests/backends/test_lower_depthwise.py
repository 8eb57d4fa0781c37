"""Depthwise convolutions of random shapes through every kernel, against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.graph.model import DType, Model
from edged.graph.ops import table
from support.build import constant, one_op, quant, random_array, tensor
from support.lowered import agree

Rng = np.random.Generator
RELUS = ["NONE", "RELU", "RELU6"]


def depthwise(rng: Rng, dtype: DType, kernel: tuple[int, int] | None = None) -> Model:
    """One node with random everything; uint8 weights have a zero point, int8 ones a scale per channel."""
    channels = int(rng.choice([1, 3, 8, 16, 17, 24, 32, 48, 64, 100, 128, 160]))
    multiplier = int(rng.choice([1, 1, 1, 2, 3, 8])) if channels < 40 else 1
    out_c = channels * multiplier
    high, wide = kernel or [(3, 3), (5, 5), (1, 4), (3, 1), (2, 2), (7, 7)][rng.integers(6)]
    size = (
        int(rng.integers(1, 3)),
        int(rng.integers(high, high + 9)),
        int(rng.integers(wide, wide + 12)),
        channels,
    )
    stride = int(rng.integers(1, 4))
    attrs: dict[str, Any] = {
        "padding": ["SAME", "VALID"][rng.integers(2)], "stride_h": stride, "stride_w": stride,
        "depth_multiplier": multiplier, "fused_activation_function": RELUS[rng.integers(3)],
        "dilation_w_factor": 1, "dilation_h_factor": 1,
    }  # fmt: skip
    if stride == 1 and rng.integers(4) == 0:
        attrs.update(dilation_w_factor=2, dilation_h_factor=2, padding="SAME")
    shape = (1, high, wide, out_c)
    if dtype is DType.FLOAT32:
        x, y = tensor(dtype, size, name="x"), None
        w = constant(dtype, rng.uniform(-1, 1, shape).astype(np.float32))
        b = constant(dtype, rng.uniform(-1, 1, out_c).astype(np.float32))
    else:
        zero = 0 if dtype is DType.INT16 else int(rng.integers(-100, 100)) + 128 * (dtype is DType.UINT8)
        x = tensor(dtype, size, quant(rng.uniform(0.005, 0.1), zero), name="x")
        y = quant(rng.uniform(0.02, 0.9) * 10.0 ** -int(rng.integers(0, 3)), zero)
        narrow = DType.UINT8 if dtype is DType.UINT8 else DType.INT8
        own = (
            quant(rng.uniform(0.001, 0.01), 131)
            if narrow is DType.UINT8
            else quant(rng.uniform(0.0005, 0.01, out_c), 0, 3)
        )
        w = constant(narrow, random_array(rng, narrow, shape), own)
        wide_bias = DType.INT64 if dtype is DType.INT16 else DType.INT32
        b = constant(wide_bias, rng.integers(-9000, 9000, out_c).astype(str(wide_bias)))
    model = one_op("depthwise_conv_2d", [x, w, b], [tensor(dtype, (1,), y, name="y")], attrs)
    return _shaped(model)


def _shaped(model: Model) -> Model:
    node = model.main.nodes[0]
    (shape,) = table()[node.kind].infer(node, [t.shape for t in node.inputs if t is not None], lambda _: None)
    assert shape is not None
    old = node.outputs[0]
    return one_op(node.op, node.inputs, [tensor(old.dtype, shape, old.quantization, name="y")], node.attrs)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8, DType.INT16, DType.FLOAT32])
def test_random_depthwise_equals_the_reference(dtype: DType) -> None:
    for seed in range(15):
        rng = np.random.default_rng(seed)
        model = depthwise(rng, dtype)
        agree(model, [random_array(rng, dtype, model.main.inputs[0].shape)], atol=2e-5)


@pytest.mark.timeout(60)
def test_int8_equals_tflite_micro() -> None:
    """LiteRT's own kernel differs by one unit here and there (single rounding); TFLite Micro is the meaning."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        model = depthwise(rng, DType.INT8)
        agree(model, [random_array(rng, DType.INT8, model.main.inputs[0].shape)], oracle="tflm")


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 40.0])
def test_extreme_scales_equal_the_reference(scale: float) -> None:
    """Shifts far to the right, and to the left, where the interleaved kernel steps aside or gives constants."""
    rng = np.random.default_rng(5)
    x = tensor(DType.INT8, (1, 6, 7, 24), quant(0.1, 3), name="x")
    w = constant(DType.INT8, random_array(rng, DType.INT8, (1, 3, 3, 24)), quant(np.full(24, scale), 0, 3))
    b = constant(DType.INT32, rng.integers(-9000, 9000, 24).astype(np.int32))
    attrs = {"padding": "SAME", "stride_h": 1, "stride_w": 1, "depth_multiplier": 1}
    model = one_op(
        "depthwise_conv_2d", [x, w, b], [tensor(DType.INT8, (1, 6, 7, 24), quant(0.1, -9), name="y")], attrs
    )
    agree(model, [random_array(rng, DType.INT8, (1, 6, 7, 24))])


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dtype", [DType.INT8, DType.UINT8, DType.INT16, DType.FLOAT32])
def test_many_random_depthwise_equal_the_reference(dtype: DType) -> None:
    for seed in range(1000, 1300):
        rng = np.random.default_rng(seed)
        model = depthwise(rng, dtype)
        agree(model, [random_array(rng, dtype, model.main.inputs[0].shape)], atol=2e-5)


def test_hybrid_equals_the_reference() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        channels, multiplier = int(rng.integers(1, 90)), int(rng.integers(1, 3))
        shape = (1, 3, 3, channels * multiplier)
        scales = quant(rng.uniform(0.001, 0.01, shape[3] if seed % 2 else 1), 0, 3)
        x = tensor(DType.FLOAT32, (2, 7, 9, channels), name="x")
        w = constant(DType.INT8, random_array(rng, DType.INT8, shape), scales)
        b = constant(DType.FLOAT32, rng.normal(size=shape[3]).astype(np.float32))
        attrs = {"padding": "SAME", "stride_h": 2, "stride_w": 2, "depth_multiplier": multiplier}
        model = _shaped(
            one_op("depthwise_conv_2d", [x, w, b], [tensor(DType.FLOAT32, (1,), name="y")], attrs)
        )
        agree(model, [rng.normal(0, 3, (2, 7, 9, channels)).astype(np.float32)], atol=1e-4)
