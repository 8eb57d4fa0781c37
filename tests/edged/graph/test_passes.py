"""Golden tests of the passes: text in, text out; and equal results before and after on random inputs."""

from __future__ import annotations

import numpy as np
import pytest

from edged.graph.model import Graph, Model, Tensor
from edged.graph.passes import drop_dead, optimise, optimise_graph
from support.graphtext import parse

CASES = {
    "relu goes into conv": (
        """graph g(%x:float32[1x4x4x2]) -> (%y:float32[1x4x4x3])
             %w:float32[3x1x1x2] = const 0.5
             %b:float32[3] = const 1 -2 3
             %t:float32[1x4x4x3] = conv_2d(%x, %w, %b) {padding=SAME stride_w=1 stride_h=1}
             %y = relu6(%t)""",
        "%y:float32[1x4x4x3] = conv_2d(%x:float32[1x4x4x2], %w:float32[3x1x1x2]!, %b:float32[3]!) "
        "{padding=SAME stride_w=1 stride_h=1 fused_activation_function=RELU6}",
    ),
    "relu stays when the conv is read twice": (
        """graph g(%x:float32[1x4x4x2]) -> (%y:float32[1x4x4x3], %t:float32[1x4x4x3])
             %w:float32[3x1x1x2] = const 0.5
             %t = conv_2d(%x, %w) {padding=SAME stride_w=1 stride_h=1}
             %y = relu(%t)""",
        "%t:float32[1x4x4x3] = conv_2d(%x:float32[1x4x4x2], %w:float32[3x1x1x2]!) {padding=SAME stride_w=1 stride_h=1}\n"
        "%y:float32[1x4x4x3] = relu(%t:float32[1x4x4x3])",
    ),
    "a rescaling relu stays": (
        """graph g(%x:int8[1x4]q(0.5,0)) -> (%y:int8[1x4]q(0.25,0))
             %t:int8[1x4]q(0.5,0) = add(%x, %x) {fused_activation_function=NONE}
             %y = relu(%t)""",
        "%t:int8[1x4] = add(%x:int8[1x4], %x:int8[1x4]) {fused_activation_function=NONE}\n"
        "%y:int8[1x4] = relu(%t:int8[1x4])",
    ),
    "pad becomes SAME where it is": (
        """graph g(%x:float32[1x6x6x2]) -> (%y:float32[1x3x3x2])
             %p:int32[4x2] = const 0 0 0 1 0 1 0 0
             %w:float32[1x3x3x2] = const 1
             %t:float32[1x7x7x2] = pad(%x, %p)
             %y = depthwise_conv_2d(%t, %w) {padding=VALID stride_w=2 stride_h=2 depth_multiplier=1}""",
        "%y:float32[1x3x3x2] = depthwise_conv_2d(%x:float32[1x6x6x2], %w:float32[1x3x3x2]!) "
        "{padding=SAME stride_w=2 stride_h=2 depth_multiplier=1}",
    ),
    "other pads become explicit": (
        """graph g(%x:float32[1x6x6x2]) -> (%y:float32[1x3x3x3])
             %p:int32[4x2] = const 0 0 1 0 1 0 0 0
             %w:float32[3x3x3x2] = const 1
             %t:float32[1x7x7x2] = pad(%x, %p)
             %y = conv_2d(%t, %w) {padding=VALID stride_w=2 stride_h=2}""",
        "%y:float32[1x3x3x3] = conv_2d(%x:float32[1x6x6x2], %w:float32[3x3x3x2]!) "
        "{padding=EXPLICIT stride_w=2 stride_h=2 explicit_padding=(1, 0, 1, 0)}",
    ),
    "pad goes into a max pool behind relu": (
        """graph g(%x:float32[1x6x6x2]) -> (%y:float32[1x3x3x2])
             %p:int32[4x2] = const 0 0 1 1 1 1 0 0
             %r:float32[1x6x6x2] = relu(%x)
             %t:float32[1x8x8x2] = pad(%r, %p)
             %y = max_pool_2d(%t) {padding=VALID stride_w=2 stride_h=2 filter_width=3 filter_height=3}""",
        "%r:float32[1x6x6x2] = relu(%x:float32[1x6x6x2])\n"
        "%y:float32[1x3x3x2] = max_pool_2d(%r:float32[1x6x6x2]) {padding=EXPLICIT stride_w=2 stride_h=2 "
        "filter_width=3 filter_height=3 explicit_padding=(1, 1, 1, 1)}",
    ),
    "pad before a max pool of signed values stays": (
        """graph g(%x:float32[1x6x6x2]) -> (%y:float32[1x3x3x2])
             %p:int32[4x2] = const 0 0 1 1 1 1 0 0
             %t:float32[1x8x8x2] = pad(%x, %p)
             %y = max_pool_2d(%t) {padding=VALID stride_w=2 stride_h=2 filter_width=3 filter_height=3}""",
        "%t:float32[1x8x8x2] = pad(%x:float32[1x6x6x2], %p:int32[4x2]!)\n"
        "%y:float32[1x3x3x2] = max_pool_2d(%t:float32[1x8x8x2]) {padding=VALID stride_w=2 stride_h=2 "
        "filter_width=3 filter_height=3}",
    ),
    "batch norm goes into conv": (
        """graph g(%x:float32[1x2x2x2]) -> (%y:float32[1x2x2x3])
             %w:float32[3x1x1x2] = const 1 2 3 4 5 6
             %s:float32[3] = const 2 3 4
             %o:float32[3] = const 1 1 2
             %t:float32[1x2x2x3] = conv_2d(%x, %w) {padding=SAME stride_w=1 stride_h=1}
             %u:float32[1x2x2x3] = mul(%t, %s) {fused_activation_function=NONE}
             %y = add(%o, %u) {fused_activation_function=RELU}""",
        "%y:float32[1x2x2x3] = conv_2d(%x:float32[1x2x2x2], %w:float32[3x1x1x2]!, %u/bias:float32[3]!) "
        "{padding=SAME stride_w=1 stride_h=1 fused_activation_function=RELU}",
    ),
    "transposes that undo each other go": (
        """graph g(%x:float32[1x2x3x4]) -> (%y:float32[1x2x3x4])
             %p:int32[4] = const 0 3 1 2
             %q:int32[4] = const 0 2 3 1
             %a:float32[1x4x2x3] = transpose(%x, %p)
             %b:float32[1x2x3x4] = transpose(%a, %q)
             %y = relu(%b)""",
        "%y:float32[1x2x3x4] = relu(%x:float32[1x2x3x4])",
    ),
    "reshapes join": (
        """graph g(%x:float32[2x6]) -> (%y:float32[3x4])
             %a:float32[12] = reshape(%x) {new_shape=(12,)}
             %b:float32[3x4] = reshape(%a) {new_shape=(3,4)}
             %y = relu(%b)""",
        "%b:float32[3x4] = reshape(%x:float32[2x6], %b/shape:int32[2]!) {new_shape=(3, 4)}\n"
        "%y:float32[3x4] = relu(%b:float32[3x4])",
    ),
    "constants fold": (
        """graph g(%x:float32[2]) -> (%y:float32[2])
             %h:float16[2] = const 1 2
             %f:float32[2] = dequantize(%h)
             %n:float32[2] = neg(%f)
             %dead:float32[2] = exp(%x)
             %y = mul(%x, %n) {fused_activation_function=NONE}""",
        "%y:float32[2] = mul(%x:float32[2], %n:float32[2]!) {fused_activation_function=NONE}",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    before, after = CASES[name]
    body = str(optimise_graph(parse(before))).splitlines()[1:]
    assert [line.strip() for line in body] == after.splitlines()


def _seeded(tensor: Tensor, rng: np.random.Generator) -> np.ndarray:
    if tensor.dtype.is_float:
        return rng.standard_normal(tensor.shape).astype(np.float32)
    return rng.integers(-128, 128, tensor.shape).astype(np.int8)


def _results(graph: Graph, inputs: list[np.ndarray]) -> list[np.ndarray]:
    from edged.graph.evaluate import Evaluation

    return list(Evaluation(Model((graph,))).run(inputs).values())


@pytest.mark.parametrize("name", CASES)
def test_same_results(name: str) -> None:
    graph = parse(CASES[name][0])
    rng = np.random.default_rng(7)
    inputs = [_seeded(t, rng) for t in graph.inputs]
    better = optimise(Model((graph,))).main
    for old, new in zip(_results(graph, inputs), _results(better, inputs), strict=True):
        if old.dtype == np.float32:
            np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(new, old)


def test_side_effects_stay() -> None:
    graph = parse(
        """graph g(%x:float32[2]) -> (%y:float32[2])
             %h:resource[1] = var_handle() {shared_name=v}
             %none:int8[0] = assign_variable(%h, %x)
             %unused:float32[2] = exp(%x)
             %y = relu(%x)"""
    )
    assert [n.op for n in drop_dead(graph).nodes] == ["var_handle", "assign_variable", "relu"]


def test_long_chain_is_linear() -> None:
    """10,000 nodes that all cancel: one walk."""
    lines = ["graph g(%x:float32[2x3]) -> (%y:float32[2x3])", "%p:int32[2] = const 1 0"]
    last = "x"
    for i in range(5000):
        lines += [
            f"%a{i}:float32[3x2] = transpose(%{last}, %p)",
            f"%b{i}:float32[2x3] = transpose(%a{i}, %p)",
        ]
        last = f"b{i}"
    lines.append(f"%y = relu(%{last})")
    assert len(optimise_graph(parse("\n".join(lines))).nodes) == 1
