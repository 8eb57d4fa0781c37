"""Graphs that call graphs, and variables that outlive a run: each session has its own, and can be reset,
saved, restored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import BackendError
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.program import PythonStep
from support.networks import Array, constant


def t(name: str, dtype: DType = DType.FLOAT32, shape: tuple[int, ...] = (4,)) -> Tensor:
    return Tensor(name, dtype, shape)


def prepared(model: Model) -> CpuDelegate:
    return CpuBackend().prepare(PrepareContext(), Subgraph(model.main, model))


def run(delegate: CpuDelegate, *arrays: Array, state: object = None) -> list[list[float]]:
    outputs = [np.zeros(o.shape, str(o.dtype)) for o in delegate.outputs]
    given = [memoryview(np.ascontiguousarray(a).reshape(-1).view(np.uint8)) for a in arrays]
    delegate.run(RunContext(state=state), given, [memoryview(o.reshape(-1).view(np.uint8)) for o in outputs])
    return [o.reshape(-1).tolist() for o in outputs]


def unary(op: str, name: str) -> Graph:
    x, y = t(f"{name}_in"), t(f"{name}_out")
    return Graph(name, (x,), (y,), (Node(op, (x,), (y,)),))


X = np.array([-3.0, -1.0, 2.0, 5.0], np.float32)


def test_an_if_takes_the_branch_that_its_input_says() -> None:
    c, x, y = t("c", DType.BOOL, (1,)), t("x"), t("y")
    node = Node("if", (c, x), (y,), {"then_subgraph_index": 1, "else_subgraph_index": 2})
    model = Model((Graph("main", (c, x), (y,), (node,)), unary("relu", "then"), unary("neg", "else")))
    delegate = prepared(model)
    assert run(delegate, np.array([True]), X) == [[0.0, 0.0, 2.0, 5.0]]
    assert run(delegate, np.array([False]), X) == [[3.0, 1.0, -2.0, -5.0]]


def countdown() -> Model:
    """while x[0] is true: x = x[1:] + (x[0] - stays) ... in booleans: shifts left until the first is
    false."""
    x, y = t("x", DType.BOOL), t("y", DType.BOOL)
    i, first = t("i", DType.BOOL), t("first", DType.BOOL, (1,))
    cut = {"begin_mask": 0, "end_mask": 0}
    begin, end, one = (constant(n, np.array([v], np.int32)) for n, v in (("b", 0), ("e", 1), ("s", 1)))
    condition = Graph("cond", (i,), (first,), (Node("strided_slice", (i, begin, end, one), (first,), cut),))
    j, rest, k = t("j", DType.BOOL), t("rest", DType.BOOL, (3,)), t("k", DType.BOOL)
    begin1, end4 = constant("b1", np.array([1], np.int32)), constant("e4", np.array([4], np.int32))
    nodes = (
        Node("strided_slice", (j, begin1, end4, one), (rest,), cut),
        Node("concatenation", (rest, constant("f", np.array([False]))), (k,), {"axis": 0}),
    )
    node = Node("while", (x,), (y,), {"cond_subgraph_index": 1, "body_subgraph_index": 2})
    return Model((Graph("main", (x,), (y,), (node,)), condition, Graph("body", (j,), (k,), nodes)))


@pytest.mark.parametrize(
    ("given", "left"), [([1, 1, 0, 1], [0, 1, 0, 0]), ([0, 1, 1, 1], [0, 1, 1, 1]), ([1] * 4, [0] * 4)]
)
def test_a_while_runs_its_body_until_its_condition_fails(given: list[int], left: list[int]) -> None:
    assert run(prepared(countdown()), np.array(given, bool)) == [[bool(v) for v in left]]


def test_a_while_that_its_input_keeps_going_ends_with_an_error() -> None:
    """Otherwise one client's request would keep the processor from all others, until the watchdog ends the daemon."""
    model = countdown()
    body = model.graphs[2]
    constants = {"f": constant("f", np.array([True]))}
    nodes = tuple(
        replace(n, inputs=tuple(constants.get(i.name, i) if i is not None else i for i in n.inputs))
        for n in body.nodes
    )
    endless = Model((*model.graphs[:2], replace(body, nodes=nodes)))
    backend = CpuBackend(loop_seconds=0.05)
    delegate = backend.prepare(PrepareContext(), Subgraph(endless.main, endless))
    with pytest.raises(BackendError, match="the loop did not end within"):
        run(delegate, np.array([True, True, True, True]))
    assert run(delegate, np.array([False, True, True, True])) == [[False, True, True, True]]


def shift_register(*, aside: bool = False) -> Model:
    """y = what x was in the last run, negated; the first time what the init graph left. `aside`: a branch
    uses it too."""
    handle, initial = (t(n, DType.RESOURCE, (1,)) for n in ("handle", "initial"))
    attrs = {"shared_name": "last"}
    x, old, y = t("x"), t("old"), t("y")
    nodes = (
        Node("call_once", (), (), {"init_subgraph_index": 1}),
        Node("var_handle", (), (handle,), attrs),
        Node("read_variable", (handle,), (old,)),
        Node("assign_variable", (handle, x), ()),
        Node("neg", (old,), (y,)),
    )
    seed = constant("seed", np.array([1, 2, 3, 4], np.float32))
    init = (Node("var_handle", (), (initial,), attrs), Node("assign_variable", (initial, seed), ()))
    graphs = [Graph("main", (x,), (y,), nodes), Graph("init", (), (), init)]
    if aside:
        other, z = t("other", DType.RESOURCE, (1,)), t("z")
        read = (Node("var_handle", (), (other,), attrs), Node("read_variable", (other,), (z,)))
        graphs.append(Graph("aside", (), (z,), read))
    return Model(tuple(graphs))


@pytest.mark.parametrize("aside", [False, True], ids=["in the arena", "in NumPy"])
def test_resource_variables_keep_their_value_per_session(aside: bool) -> None:
    delegate = prepared(shift_register(aside=aside))
    assert any(isinstance(step, PythonStep) for step in delegate.program.steps) == aside
    one, two = delegate.new_state(), delegate.new_state()
    assert one is not None
    assert run(delegate, X, state=one) == [[-1.0, -2.0, -3.0, -4.0]]
    assert run(delegate, X * 2, state=one) == [(-X).tolist()]
    assert run(delegate, X, state=two) == [[-1.0, -2.0, -3.0, -4.0]]
    assert run(delegate, X, state=one) == [(X * -2).tolist()]
    delegate.reset(one)
    assert run(delegate, X, state=one) == [[-1.0, -2.0, -3.0, -4.0]]
    assert run(delegate, X) == [[-1.0, -2.0, -3.0, -4.0]]
    assert run(delegate, X) == [(-X).tolist()]


def test_saved_variables_go_on_in_another_state() -> None:
    delegate = prepared(shift_register())
    one, two = delegate.new_state(), delegate.new_state()
    run(delegate, X, state=one)
    saved = delegate.save(one)
    assert list(saved) == ["resource /last"]
    delegate.restore(two, saved)
    assert run(delegate, X, state=two) == [(-X).tolist()]


def test_a_program_without_memory_needs_no_state() -> None:
    x, y = t("x"), t("y")
    delegate = prepared(Model((Graph("main", (x,), (y,), (Node("neg", (x,), (y,)),)),)))
    assert delegate.new_state() is None
    assert delegate.save(None) == {}


def test_a_shape_that_a_branch_did_not_keep_to_is_an_error() -> None:
    c, x, y = t("c", DType.BOOL, (1,)), t("x"), t("y", shape=(3,))
    node = Node(
        "if", (c, x), (y,), {"then_subgraph_index": 1, "else_subgraph_index": 1}, origin="operator 0 IF"
    )
    delegate = prepared(Model((Graph("main", (c, x), (y,), (node,)), unary("neg", "then"))))
    with pytest.raises(BackendError, match=r"operator 0 IF: gave shape \(4,\) for y"):
        run(delegate, np.array([True]), X)
