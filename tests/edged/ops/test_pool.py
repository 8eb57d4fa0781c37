"""Pooling on random windows against LiteRT and TFLite Micro."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from edged.graph.model import Model
from edged.graph.ops import table
from edged.graph.ops.geometry import axis
from support.agreement import COUNTS, LITERT, MICRO, property_test
from support.build import one_op, quant, tensor

MANY = pytest.mark.parametrize("count", COUNTS)


def pool_model(rng: np.random.Generator, op: str, kind: str) -> Model:
    kernel, stride = rng.integers(1, 5, 2).tolist(), rng.integers(1, 4, 2).tolist()
    padding = str(rng.choice(["SAME", "VALID"]))
    sizes = [max(int(rng.integers(1, 14)), k) for k in kernel]
    out = [
        axis(padding, s, k, t, 1, (0, 0), "test").out for s, k, t in zip(sizes, kernel, stride, strict=True)
    ]
    attrs = {
        "padding": padding, "stride_h": stride[0], "stride_w": stride[1],
        "filter_height": kernel[0], "filter_width": kernel[1],
        "fused_activation_function": str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])),
    }  # fmt: skip
    rows, channels = int(rng.integers(1, 3)), int(rng.integers(1, 20))
    zeros = {"float32": (0, 1), "int8": (-128, 128), "uint8": (0, 256), "int16": (0, 1)}[kind]
    q = None if kind == "float32" else quant(rng.uniform(0.01, 0.1), int(rng.integers(*zeros)))
    x, y = (tensor(kind, (rows, *size, channels), q) for size in (sizes, out))
    return one_op(op, [x], [y], attrs)


@MANY
@pytest.mark.parametrize("kind", ["float32", "uint8", "int8", "int16"])
@pytest.mark.parametrize("op", ["average_pool_2d", "max_pool_2d"])
def test_as_litert(op: str, kind: str, count: int) -> None:
    property_test(partial(pool_model, op=op, kind=kind), count, oracle=LITERT)


@MANY
@pytest.mark.parametrize("kind", ["float32", "int8", "int16"])
@pytest.mark.parametrize("op", ["average_pool_2d", "max_pool_2d"])
def test_as_micro(op: str, kind: str, count: int) -> None:
    property_test(partial(pool_model, op=op, kind=kind), count, oracle=MICRO)


@MANY
def test_l2(count: int) -> None:
    property_test(partial(pool_model, op="l2_pool_2d", kind="float32"), count)


@pytest.mark.parametrize("op", ["average_pool_2d", "max_pool_2d", "l2_pool_2d"])
def test_inferred_shapes_are_the_computed_ones(op: str) -> None:
    for seed in range(20):
        node = pool_model(np.random.default_rng(seed), op, "float32").main.nodes[0]
        assert table()[op].infer(node, [node.input(0).shape], lambda _i: None)[0] == node.outputs[0].shape
