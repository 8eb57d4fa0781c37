"""Pooling with places, and back: no oracle runs these custom ops, so pooling is checked against its definition."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from edged.errors import ModelError
from edged.formats.tflite import read
from edged.graph.evaluate import Evaluation, evaluate_node
from edged.graph.model import Node
from edged.graph.ops import table
from support.build import one_op, random_array


def _options(same: bool, stride: tuple[int, int], kernel: tuple[int, int]) -> bytes:
    return struct.pack("<6i", 1 if same else 2, stride[1], stride[0], kernel[1], kernel[0], 0) + bytes(16)


def _pool(places: str, shape: tuple[int, ...], options: bytes) -> Node:
    empty = (1, 1, 1, shape[3])
    model = one_op(
        "custom:MaxPoolingWithArgmax2D",
        [("float32", shape)],
        [("float32", empty), (places, empty)],
        options=options,
    )
    return model.main.nodes[0]


def _unpool(places: str, shape: tuple[int, ...], options: bytes) -> Node:
    inputs = [("float32", shape), (places, shape)]
    return one_op("custom:MaxUnpooling2D", inputs, [("float32", shape)], options=options).main.nodes[0]


@pytest.mark.parametrize("same", [False, True])
def test_places_of_the_greatest_elements(same: bool) -> None:
    rng = np.random.default_rng(0)
    x = random_array(rng, "float32", (2, 7, 6, 3))
    options = _options(same, (2, 3), (3, 2))
    values, flat = evaluate_node(_pool("int32", x.shape, options), [x])
    again, local = evaluate_node(_pool("float32", x.shape, options), [x])
    assert np.array_equal(values, again)
    images = x.reshape(2, -1)
    for b in range(2):
        assert np.array_equal(images[b][flat[b].reshape(-1)], values[b].reshape(-1))
    assert np.array_equal(local, np.floor(local) + np.float32(0.1))
    assert local.max() < 6.2


@pytest.mark.parametrize("places", ["int32", "float32"])
def test_unpooling_puts_values_back(places: str) -> None:
    rng = np.random.default_rng(1)
    x = np.abs(random_array(rng, "float32", (2, 6, 8, 3))) + 1
    options = _options(True, (2, 2), (2, 2))
    values, where = evaluate_node(_pool(places, x.shape, options), [x])
    (back,) = evaluate_node(_unpool(places, values.shape, options), [values, where])
    assert back.shape == x.shape
    assert np.array_equal(back[back != 0], x[back != 0])
    assert np.count_nonzero(back) == values.size


def test_places_outside_are_left_out() -> None:
    node = _unpool("int32", (1, 1, 1, 2), _options(True, (2, 2), (2, 2)))
    where = np.array([9, 3], np.int32).reshape(1, 1, 1, 2)
    (back,) = evaluate_node(node, [np.ones((1, 1, 1, 2), np.float32), where])
    assert back.reshape(-1).tolist() == [0, 0, 0, 1, 0, 0, 0, 0]


def test_options_that_are_too_short_are_refused() -> None:
    node = _unpool("int32", (1, 1, 1, 2), b"\0" * 8)
    with pytest.raises(ModelError, match="8 bytes of options, 20 are needed"):
        table()[node.kind].infer(node, [(1, 1, 1, 2), (1, 1, 1, 2)], lambda _i: None)


def test_a_real_file(models: Path) -> None:
    model = read(memoryview((models / "ops" / "litert_max_unpooling_2d.tflite").read_bytes()))
    x = random_array(np.random.default_rng(2), "float32", (1, 8, 8, 128))
    places = np.arange(x.size, dtype=np.int32).reshape(x.shape) * 4
    (back,) = Evaluation(model).run([x, places]).values()
    assert back.shape == (1, 16, 16, 128)
    assert np.array_equal(back.reshape(-1)[::4], x.reshape(-1))
