"""Depthwise and pointwise steps as one: the same bytes as apart, a smaller arena, and a choice with its
reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor
from edged_backends import _kernels
from edged_backends.assemble import assemble
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.operands import Space
from edged_backends.packing import Tables, tables
from edged_backends.program import KernelStep, Program
from support.networks import Array, constant

Rng = np.random.Generator
BACKEND = CpuBackend()
STRIDES = ((1, 1), (2, 2), (1, 2), (3, 1))


def activation(name: str, dtype: DType, shape: tuple[int, ...], scale: float = 0.05) -> Tensor:
    quantization = None if dtype is DType.FLOAT32 else Quantization((scale,), (-5,))
    return Tensor(name, dtype, shape, quantization=quantization)


def filters(rng: Rng, dtype: DType, shape: tuple[int, ...], axis: int) -> tuple[Tensor, Tensor]:
    count = shape[axis]
    if dtype is DType.FLOAT32:
        w = constant("w", rng.uniform(-1, 1, shape).astype(np.float32))
        return w, constant("b", rng.uniform(-1, 1, count).astype(np.float32))
    scales = tuple(float(s) for s in rng.uniform(0.001, 0.01, count))
    w = constant(
        "w", rng.integers(-127, 128, shape).astype(np.int8), Quantization(scales, (0,) * count, axis=axis)
    )
    return w, constant("b", rng.integers(-3000, 3000, count).astype(np.int32))


def depthwise_node(rng: Rng, x: Tensor, name: str, kernel: tuple[int, int], **attrs: Any) -> Node:
    """`attrs`: padding, strides, dilations, the multiplier."""
    channels = x.shape[3] * attrs["depth_multiplier"]
    same = attrs["padding"] == "SAME"
    sides = []
    for axis, letter in ((1, "h"), (2, "w")):
        size, stride = x.shape[axis], attrs[f"stride_{letter}"]
        reach = (kernel[axis - 1] - 1) * attrs[f"dilation_{letter}_factor"]
        sides.append(-(-size // stride) if same else -(-(size - reach) // stride))
    y = activation(name, x.dtype, (x.shape[0], *sides, channels))
    return Node("depthwise_conv_2d", (x, *filters(rng, x.dtype, (1, *kernel, channels), 3)), (y,), attrs)


def pointwise_node(rng: Rng, x: Tensor, name: str, filters_out: int) -> Node:
    y = activation(name, x.dtype, (*x.shape[:3], filters_out), 0.2)
    attrs = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
    w = filters(rng, x.dtype, (filters_out, 1, 1, x.shape[3]), 0)
    return Node("conv_2d", (x, *w), (y,), {**attrs, "fused_activation_function": "RELU6"})


def model_of(*nodes: Node) -> Model:
    graph = Graph("main", (nodes[0].input(0),), (nodes[-1].outputs[0],), nodes)
    return Model((graph,))


def random_pair(rng: Rng, dtype: DType) -> Model:
    channels = int(rng.choice([3, 8, 16, 24, 33, 64, 96]))
    shape = (int(rng.integers(1, 3)), int(rng.integers(5, 40)), int(rng.integers(5, 40)), channels)
    dilated = rng.integers(5) == 0
    stride = (1, 1) if dilated else STRIDES[rng.integers(len(STRIDES))]
    attrs = {
        "padding": ["SAME", "VALID"][rng.integers(2)], "stride_h": stride[0], "stride_w": stride[1],
        "dilation_h_factor": 1 + dilated, "dilation_w_factor": 1 + dilated,
        "depth_multiplier": int(rng.choice([1, 1, 2])), "fused_activation_function": "RELU",
    }  # fmt: skip
    kernel = [(3, 3), (2, 3), (3, 1), (1, 1)][rng.integers(4)]
    if rng.integers(3) == 0 and not dilated and min(shape[1:3]) > 5:
        kernel = (5, 5)
    first = depthwise_node(rng, activation("x", dtype, shape), "between", kernel, **attrs)
    return model_of(first, pointwise_node(rng, first.outputs[0], "y", int(rng.integers(1, 70))))


def program_of(model: Model, backend: CpuBackend, way: str = "", **how: Any) -> Program:
    """`way` forces the choice of every pair."""
    subgraph = Subgraph(model.main, model)
    how = {"l2_bytes": backend.l2_bytes, **how}
    program = assemble(subgraph, backend.kernels, **how)
    if not way:
        return program
    forced = {c.key: way for c in program.choices if c.also}
    return assemble(subgraph, backend.kernels, forced=forced, **how)


def paired(program: Program) -> list[KernelStep]:
    return [s for s in program.steps if isinstance(s, KernelStep) and s.follower is not None]


def run(delegate: CpuDelegate, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in delegate.inputs:
        made = rng.standard_normal(tensor.shape).astype(np.float32)
        if tensor.dtype is not DType.FLOAT32:
            made = rng.integers(-128, 128, tensor.shape).astype(np.int8)
        arrays.append(made.reshape(-1).view(np.uint8).data)
    outputs = [np.zeros(t.nbytes, np.uint8) for t in delegate.outputs]
    delegate.run(RunContext(), arrays, [o.data for o in outputs])
    return outputs


def same_both_ways(model: Model, backend: CpuBackend, threads: int, seed: int) -> None:
    results = []
    for way in ("apart", "pair"):
        program = program_of(model, backend, way, threads=threads)
        assert len(paired(program)) == (way == "pair")
        delegate = backend.load(program, Subgraph(model.main, model), threads)
        results.append(run(delegate, seed))
    for apart, pair in zip(*results, strict=True):
        np.testing.assert_array_equal(apart, pair)


@pytest.mark.parametrize("mask", ["", "avx2,avx512,vnni", "avx2", "none"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", [DType.INT8, DType.FLOAT32])
def test_a_pair_gives_the_bytes_of_two_steps(dtype: DType, threads: int, mask: str) -> None:
    backend, rng = CpuBackend(arch_mask=mask), np.random.default_rng([threads, len(mask)])
    for seed in range(12):
        backend.l2_bytes = int(rng.choice([1, 1 << 14, 1 << 20]))
        same_both_ways(random_pair(rng, dtype), backend, threads, seed)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("dtype", [DType.INT8, DType.FLOAT32])
def test_many_pairs_give_the_bytes_of_two_steps(dtype: DType) -> None:
    backend, rng = CpuBackend(), np.random.default_rng(11)
    for seed in range(1500):
        backend.l2_bytes = int(rng.choice([1, 1 << 14, 1 << 20]))
        same_both_ways(random_pair(rng, dtype), backend, 1 + seed % 3, seed)


UNIT: dict[str, Any] = {
    "padding": "SAME", "stride_h": 1, "stride_w": 1, "dilation_h_factor": 1, "dilation_w_factor": 1,
    "depth_multiplier": 1, "fused_activation_function": "NONE",
}  # fmt: skip


def bottleneck(dtype: DType, residual: bool) -> Model:
    """Expand - depthwise - project, as in MobileNet v2; with the sum of input and result, or stride 2."""
    rng = np.random.default_rng(4)
    expand = pointwise_node(rng, activation("x", dtype, (1, 32, 32, 8)), "wide", 48)
    attrs = {**UNIT, "stride_h": 2 - residual, "stride_w": 2 - residual}
    middle = depthwise_node(rng, expand.outputs[0], "between", (3, 3), **attrs)
    project = pointwise_node(rng, middle.outputs[0], "narrow", 8)
    if not residual:
        return model_of(expand, middle, project)
    parts = (expand.input(0), project.outputs[0])
    total = activation("y", dtype, parts[0].shape, 0.3)
    add = Node("add", parts, (total,), {"fused_activation_function": "NONE"})
    plain = Node(
        "conv_2d", project.inputs, project.outputs, {**project.attrs, "fused_activation_function": "NONE"}
    )
    return model_of(expand, middle, plain, add)


@pytest.mark.parametrize("dtype", [DType.INT8, DType.FLOAT32])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("residual", [True, False])
def test_a_bottleneck_with_its_sum_is_the_same(dtype: DType, threads: int, residual: bool) -> None:
    same_both_ways(bottleneck(dtype, residual), BACKEND, threads, 1)


def test_a_residual_that_the_depthwise_step_reads_keeps_its_memory() -> None:
    """x -> depthwise -> pointwise -> + x: the sum must not be written over x, whose next rows are still to be read."""
    rng = np.random.default_rng(5)
    x = activation("x", DType.FLOAT32, (1, 40, 40, 16))
    before, source = Node("neg", (x,), (made := activation("n", x.dtype, x.shape),)), made
    first = depthwise_node(rng, source, "between", (3, 3), **UNIT)
    second = pointwise_node(rng, first.outputs[0], "narrow", 16)
    plain = Node(
        "conv_2d", second.inputs, second.outputs, {**second.attrs, "fused_activation_function": "NONE"}
    )
    total, y = activation("t", x.dtype, x.shape), activation("y", x.dtype, x.shape)
    add = Node("add", (source, plain.outputs[0]), (total,), {"fused_activation_function": "NONE"})
    same_both_ways(model_of(before, first, plain, add, Node("abs", (total,), (y,))), BACKEND, 2, 2)


def test_a_limit_of_the_arena_asks_for_a_pair() -> None:
    """The tensor between is larger than the result: without it, the peak is smaller."""
    model = bottleneck(DType.INT8, residual=False)
    free = program_of(model, BACKEND)
    assert not paired(free)
    held = program_of(model, BACKEND, max_arena_bytes=free.arena_bytes - 1)
    assert len(paired(held)) == 1
    assert held.arena_bytes == 32 * 32 * 48 < free.arena_bytes == 32 * 32 * 48 + 16 * 16 * 48
    assert f"the arena would take {free.arena_bytes} bytes" in paired(held)[0].why
    assert held.scratch_bytes > free.scratch_bytes
    delegate = BACKEND.prepare(PrepareContext(max_arena_bytes=held.arena_bytes), Subgraph(model.main, model))
    assert any(
        "dw_s8" in line and "conv_s8" in line and "the limit is" in line for line in delegate.explain()
    )
    apart = BACKEND.load(free, Subgraph(model.main, model), 1)
    np.testing.assert_array_equal(run(delegate, 3)[0], run(apart, 3)[0])


def test_a_pair_that_needs_more_memory_is_not_made() -> None:
    """Input and output of the pair together are larger than either with the tensor between."""
    rng = np.random.default_rng(6)
    x = activation("x", DType.FLOAT32, (1, 32, 32, 16))
    start = Node("neg", (x,), (activation("n", x.dtype, x.shape),))
    first = depthwise_node(rng, start.outputs[0], "between", (3, 3), **{**UNIT, "stride_h": 2, "stride_w": 2})
    second = pointwise_node(rng, first.outputs[0], "wide", 64)
    model = model_of(
        start, first, second, Node("abs", second.outputs, (activation("y", x.dtype, (1, 16, 16, 64)),))
    )
    free = program_of(model, BACKEND)
    assert program_of(model, BACKEND, "pair").arena_bytes > free.arena_bytes
    assert not paired(program_of(model, BACKEND, max_arena_bytes=free.arena_bytes - 1))


def test_tensors_that_leave_l2_are_handed_over_in_blocks() -> None:
    model = bottleneck(DType.FLOAT32, residual=True)
    assert not paired(program_of(model, BACKEND, l2_bytes=4 << 20))
    (step,) = paired(program_of(model, BACKEND, l2_bytes=128 << 10))
    assert "pair: estimated pair" in step.why
    assert "192 KiB between leave L2" in step.why
    assert step.refs[0] is not None
    assert step.refs[0].value.space is Space.BLOCK


def test_a_tensor_that_somebody_else_reads_is_kept() -> None:
    rng = np.random.default_rng(7)
    first = depthwise_node(rng, activation("x", DType.FLOAT32, (1, 8, 8, 16)), "between", (3, 3), **UNIT)
    second = pointwise_node(rng, first.outputs[0], "y", 16)
    graph = Graph("main", (first.input(0),), (second.outputs[0], first.outputs[0]), (first, second))
    assert not [c for c in program_of(Model((graph,)), BACKEND).choices if c.also]


def test_both_ways_are_measured() -> None:
    model = bottleneck(DType.INT8, residual=False)
    layers = BACKEND.tune(PrepareContext(), Subgraph(model.main, model))
    (layer,) = [layer for layer in layers if "pair" in layer.times]
    assert set(layer.times) == {"apart", "pair"}
    assert all(time > 0 for time in layer.times.values())


def broken(made: Tables, step: int, field: int, value: int) -> Tables:
    words = np.frombuffer(made.steps, np.uint32).reshape(-1, 8).copy()
    words[step, field] = value
    return Tables(words.tobytes(), made.operands, made.params, made.spaces)


def test_broken_pairs_are_refused() -> None:
    """Fields of a packed step: 4 units, 5 scratch, 7 block."""
    model = bottleneck(DType.INT8, residual=True)
    program = program_of(model, BACKEND, "pair", threads=4, l2_bytes=1)  # the least blocks
    assert program.steps[1].units > 2 * program.steps[1].block > 0
    made = tables(program, BACKEND.kernels)
    wrong = [
        (1, 7, 0),
        (1, 7, 1000),
        (2, 7, 0),
        (2, 7, 9),
        (1, 4, 0),
        (1, 4, 17),
        (2, 4, 999),
        (1, 5, 1 << 30),
    ]
    for place in wrong:
        bad = broken(made, *place)
        with pytest.raises(ValueError, match="program:"):
            _kernels.Program(bad.steps, bad.operands, bad.params, bad.spaces, tuple(program.constants))
    with pytest.raises(ValueError, match="half of a pair"):
        _kernels.Program(
            made.steps[: 2 * 32], made.operands, made.params, made.spaces, tuple(program.constants)
        )
