"""Assembling: what needs no step (aliases, slices, concatenations in place), who may share memory, what
becomes an output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.program import KernelStep
from support.networks import Array, constant


def t(name: str, *shape: int, dtype: DType = DType.FLOAT32, **more: Any) -> Tensor:
    return Tensor(name, dtype, shape, **more)


def prepared(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], *nodes: Node) -> CpuDelegate:
    graph = Graph("main", inputs, outputs, nodes)
    return CpuBackend().prepare(PrepareContext(), Subgraph(graph, Model((graph,))))


def run(delegate: CpuDelegate, *arrays: Array) -> list[Array]:
    outputs = [np.zeros(o.shape, str(o.dtype)) for o in delegate.outputs]
    given = [memoryview(np.ascontiguousarray(a).reshape(-1).view(np.uint8)) for a in arrays]
    delegate.run(RunContext(), given, [memoryview(o.reshape(-1).view(np.uint8)) for o in outputs])
    return outputs


def kernels(delegate: CpuDelegate) -> list[str]:
    return [step.kernel.op for step in delegate.program.steps if isinstance(step, KernelStep)]


X = np.arange(24, dtype=np.float32).reshape(1, 4, 6) - 9


def negated(x: Tensor, name: str) -> tuple[Node, Tensor]:
    made = t(name, *x.shape)
    return Node("neg", (x,), (made,)), made


def test_a_reshape_is_no_step() -> None:
    x, y = t("x", 1, 4, 6), t("y", 24)
    first, a = negated(x, "a")
    b = t("b", 24)
    delegate = prepared(
        (x,), (y,), first, Node("reshape", (a,), (b,), {"new_shape": (24,)}), Node("neg", (b,), (y,))
    )
    assert kernels(delegate) == ["neg_f32", "neg_f32"]
    assert (run(delegate, X)[0] == X.reshape(-1)).all()


def test_inputs_of_a_concatenation_are_computed_in_place() -> None:
    x, y, z = t("x", 1, 4, 6), t("y", 1, 8, 6), t("z", 1, 8, 6)
    (one, a), b = negated(x, "a"), t("b", 1, 4, 6)
    two = Node("abs", (x,), (b,))
    last = Node("neg", (y,), (z,))
    delegate = prepared((x,), (z,), one, two, Node("concatenation", (a, b), (y,), {"axis": 1}), last)
    assert kernels(delegate) == ["neg_f32", "abs_f32", "neg_f32"]
    assert (run(delegate, X)[0] == -np.concatenate([-X, np.abs(X)], 1)).all()


def test_one_value_twice_in_a_concatenation_is_copied_once() -> None:
    x, y = t("x", 1, 4, 6), t("y", 1, 8, 6)
    node, a = negated(x, "a")
    delegate = prepared((x,), (y, a), node, Node("concatenation", (a, a), (y,), {"axis": 1}))
    assert kernels(delegate).count("move") == 2  # its second place, and its own output
    joined, alone = run(delegate, X)
    assert (joined == np.concatenate([-X, -X], 1)).all()
    assert (alone == -X).all()


def test_a_graph_input_is_copied_into_a_concatenation() -> None:
    x, y = t("x", 1, 4, 6), t("y", 2, 4, 6)
    node, a = negated(x, "a")
    delegate = prepared((x,), (y,), node, Node("concatenation", (x, a), (y,), {"axis": 0}))
    assert kernels(delegate) == ["neg_f32", "move"]
    assert (run(delegate, X)[0] == np.concatenate([X, -X], 0)).all()


def test_slices_in_one_piece_are_views_and_others_copies() -> None:
    x, a, b = t("x", 1, 4, 6), t("a", 1, 2, 6), t("b", 1, 2, 6)
    (ya, yb), (c, d) = (t("ya", 1, 2, 6), t("yb", 1, 2, 6)), (t("c", 1, 4, 3), t("d", 1, 4, 3))
    rows = Node("split", (constant("axis", np.array(1, np.int32)), x), (a, b))
    columns = Node("split", (constant("axis2", np.array(2, np.int32)), x), (c, d))
    ends = (Node("neg", (a,), (ya,)), Node("abs", (b,), (yb,)))
    delegate = prepared((x,), (ya, yb, d), rows, columns, *ends)
    assert kernels(delegate) == ["move", "move", "neg_f32", "abs_f32"]
    got = run(delegate, X)
    assert (got[0] == -X[:, :2]).all()
    assert (got[1] == np.abs(X[:, 2:])).all()
    assert (got[2] == X[:, :, 3:]).all()


def test_an_elementwise_chain_works_in_one_place() -> None:
    x = t("x", 1, 4, 6)
    nodes, last = [], x
    for i in range(5):
        node, last = negated(last, f"v{i}")
        nodes.append(node)
    delegate = prepared((x,), (last,), *nodes)
    assert delegate.program.arena_bytes == 128  # 96, rounded up to 64
    assert (run(delegate, X)[0] == -X).all()


def test_a_value_that_is_read_again_is_not_overwritten() -> None:
    x, y = t("x", 1, 4, 6), t("y", 1, 4, 6)
    (one, a), b = negated(x, "a"), t("b", 1, 4, 6)
    delegate = prepared((x,), (y,), one, Node("neg", (a,), (b,)), Node("sub", (a, b), (y,)))
    assert (run(delegate, X)[0] == -2 * X).all()


def test_a_part_of_a_concatenation_is_not_overwritten_by_its_own_reader() -> None:
    x, y, z = t("x", 1, 4, 6), t("y", 1, 8, 6), t("z", 1, 4, 6)
    (one, a), b = negated(x, "a"), t("b", 1, 4, 6)
    nodes = (
        one,
        Node("abs", (x,), (b,)),
        Node("concatenation", (a, b), (y,), {"axis": 1}),
        Node("neg", (a,), (z,)),
    )
    joined, turned = run(prepared((x,), (y, z), *nodes), X)
    assert (joined == np.concatenate([-X, np.abs(X)], 1)).all()
    assert (turned == X).all()


def test_a_quantised_uint8_concatenation_leaves_as_uint8() -> None:
    q = Quantization((0.5,), (100,))
    x, y = (
        t("x", 1, 4, 6, dtype=DType.UINT8, quantization=q),
        t("y", 1, 8, 6, dtype=DType.UINT8, quantization=q),
    )
    delegate = prepared((x,), (y,), Node("concatenation", (x, x), (y,), {"axis": 1}))
    data = np.arange(24, dtype=np.uint8).reshape(1, 4, 6) * 10
    assert (run(delegate, data)[0] == np.concatenate([data, data], 1)).all()


@pytest.mark.parametrize("twice", [False, True])
def test_an_input_can_be_returned_as_it_is(twice: bool) -> None:
    x = t("x", 1, 4, 6)
    node, y = negated(x, "y")
    outputs = (x, y, x) if twice else (x, y)
    got = run(prepared((x,), outputs, node), X)
    assert all((a == (X if o is x else -X)).all() for a, o in zip(got, outputs, strict=True))


def test_an_empty_tensor_goes_through() -> None:
    x, y = t("x", 0, 6), t("y", 0, 6)
    assert run(prepared((x,), (y,), Node("neg", (x,), (y,))), np.zeros((0, 6), np.float32))[0].shape == (0, 6)
