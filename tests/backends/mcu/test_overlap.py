"""Outputs that reach into their inputs: the distance is the least that is safe, plans keep it, and bytes stay the reference's."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edged.backend import Subgraph
from edged.graph.arena import Block, lower_bound, plan
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Graph, Model
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu import layout
from edged_backends.mcu.codegen import Generated, generate
from edged_backends.mcu.overlap import AT_ONCE, least
from edged_backends.mcu.sources import rows
from support import mcu_image
from support.c_on_host import HostProgram
from support.layers import Stack, stack

DTYPES = (DType.INT8, DType.UINT8, DType.INT16, DType.FLOAT32)


def made_for(model: Model, target: str) -> Generated:
    ready = optimise(model)
    return generate(Subgraph(ready.main, ready), target, "net")


def safe(shape: Mapping[str, int], images: int, out_row: int, in_row: int, distance: int) -> bool:
    """Do rows made in order, each read whole before it is written, find their inputs when the output begins `distance` below?"""
    memory: dict[int, int] = {distance + i: i for i in range(images * shape["in_h"] * in_row)}  # address -> which byte of the input
    for row in range(images * shape["out_h"]):
        image, y = divmod(row, shape["out_h"])
        top = y * shape["stride_h"] - shape["pad_top"]
        needed = [image * shape["in_h"] + i for i in range(max(top, 0), min(top + shape["kernel_h"], shape["in_h"]))]
        for at in range(row * out_row, (row + 1) * out_row):
            memory[at] = -1
        # (what the row itself reads may be read after any of its bytes was written)
        if any(memory[distance + i * in_row + k] != i * in_row + k for i in needed for k in range(in_row)):
            return False
    return True


@pytest.mark.parametrize("seed", range(200))
def test_the_distance_is_the_least_that_is_safe(seed: int) -> None:
    rng = random.Random(seed)
    kernel, stride, in_h = rng.randrange(1, 4), rng.randrange(1, 4), rng.randrange(3, 9)
    pad = rng.randrange(kernel)
    shape = {"kernel_h": kernel, "stride_h": stride, "in_h": in_h, "pad_top": pad, "out_h": (in_h + pad - kernel) // stride + 1}
    images, out_row, in_row = rng.randrange(1, 3), rng.randrange(1, 6), rng.randrange(1, 6)
    found = least(shape, images, out_row, in_row)
    assert safe(shape, images, out_row, in_row, found)
    assert all(safe(shape, images, out_row, in_row, found + more) for more in range(1, 4))
    if stride <= kernel and found:  # each row of the input is needed: one byte less, and one is lost
        assert not safe(shape, images, out_row, in_row, found - 1)


@pytest.mark.parametrize("seed", range(60))
def test_a_plan_keeps_the_distance_or_keeps_apart(seed: int) -> None:
    rng = random.Random(seed)
    blocks, below = [Block(rng.choice((16, 400, 3000)), 0, 0)], {}
    for step in range(1, rng.randrange(2, 20)):
        blocks.append(Block(rng.choice((16, 400, 3000)), step - 1, step))
        if rng.random() < 0.7:
            below[len(blocks) - 1, len(blocks) - 2] = rng.choice((0, 16, 50, 400, 2000))
        if rng.random() < 0.3:
            blocks.insert(0, Block(rng.choice((16, 400)), max(step - 2, 0), step))
            below = {(a + 1, b + 1): distance for (a, b), distance in below.items()}
    below = {(a, b): d for (a, b), d in below.items() if blocks[a].first == blocks[b].last}
    made = plan(blocks, 16, below, moves=20)
    for i, a in enumerate(blocks):
        for j, b in enumerate(blocks):
            if i == j or a.last < b.first or b.last < a.first:
                continue
            apart = made.offsets[i] + a.nbytes <= made.offsets[j] or made.offsets[j] + b.nbytes <= made.offsets[i]
            near = (i, j) in below and made.offsets[i] + below[i, j] <= made.offsets[j]
            assert apart or near or ((j, i) in below and made.offsets[j] + below[j, i] <= made.offsets[i])
    assert lower_bound(blocks, 16, below) <= made.total <= plan(blocks, 16, below).total


def test_who_begins_elsewhere_cannot_reach_into_a_block() -> None:
    with pytest.raises(ValueError, match="does not begin to live where"):
        plan([Block(64, 0, 1), Block(64, 2, 3)], 16, {(1, 0): 16})


def test_the_table_names_kernels_that_there_are() -> None:
    assert set(AT_ONCE) <= {row.name for row in rows()}


def without_overlap(monkeypatch: pytest.MonkeyPatch, model: Model) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(layout, "distance", lambda step: None)
        return made_for(model, "generic").arena_bytes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 30))])
def test_random_layers_give_the_bytes_of_the_reference(
    seed: int, dtype: DType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stack(seed, dtype, images=1 + seed % 2)
    made = made_for(model, "generic")
    assert made.arena_bytes <= without_overlap(monkeypatch, model)
    program, evaluation = HostProgram(made, tmp_path, model.main.inputs, model.main.outputs), Evaluation(model)
    calls = [seeded(model.main.inputs, run) for run in range(3)]
    for call, (raw,) in zip(calls, program.run(calls), strict=True):
        (want,) = evaluation.run(call).values()
        if dtype is DType.FLOAT32:
            np.testing.assert_allclose(np.frombuffer(raw, np.float32).reshape(want.shape), want, 1e-4, 1e-4)
        else:
            assert raw == want.tobytes()


@pytest.mark.parametrize("board", ["m4", "m55"])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 60))])
def test_random_layers_on_boards(board: str, seed: int, tmp_path: Path) -> None:
    mcu_image.toolchain()
    same_on_board(stack(seed, (DType.INT8, DType.UINT8)[seed % 3 == 2], images=1 + seed % 2, layers=12), board, tmp_path)


@pytest.mark.parametrize("board", ["m4", "m55"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_residual_is_added_once_where_it_lies(board: str, channels: int, tmp_path: Path) -> None:
    """Of an odd number of pixels, and of channels: kernels that take them by twos have the last one twice."""
    mcu_image.toolchain()
    made = Stack(7, DType.INT8)
    made.first = made.last = made.activation((1, 3, 5, channels))
    for _ in range(2):
        w, b = made.weights((channels, 1, 1, channels), 0)
        attrs = {"padding": "VALID", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1, "fused_activation_function": "NONE"}
        made.add("conv_2d", (made.last, w, b), (1, 3, 5, channels), attrs)
    made.add("add", (made.last, made.nodes[0].outputs[0]), made.last.shape, {"fused_activation_function": "NONE", "pot_scale_int16": False})
    same_on_board(Model((Graph("main", (made.first,), (made.last,), tuple(made.nodes)),)), board, tmp_path)


def same_on_board(model: Model, board: str, tmp_path: Path) -> None:
    calls = [seeded(model.main.inputs, run) for run in range(3)]
    sizes = tuple(t.nbytes for t in model.main.inputs), tuple(t.nbytes for t in model.main.outputs)
    image = mcu_image.build(made_for(model, mcu_image.BOARDS[board][1]), tmp_path, board, *sizes)
    evaluation = Evaluation(model)
    wanted = [[v.tobytes() for v in evaluation.run(call).values()] for call in calls]
    assert image.run([a.tobytes() for call in calls for a in call]) == wanted


def test_a_depthwise_layer_needs_its_input_and_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = [without_overlap(monkeypatch, model) - made_for(model, "generic").arena_bytes for model in map(stack, range(30))]
    assert sum(s > 0 for s in saved) > 10
