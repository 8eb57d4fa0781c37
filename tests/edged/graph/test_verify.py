"""verify: one broken model for every row of its table, and none for the legal ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edged.errors import ModelError
from edged.graph import ops
from edged.graph.model import DType, Graph, Model, Node, Quantization, Signature, Sparsity, Tensor
from edged.graph.ops.spec import OpSpec
from edged.graph.verify import problems, verify


def tensor(name: str, **fields: Any) -> Tensor:
    return Tensor(name, **{"dtype": DType.FLOAT32, "shape": (2, 3), **fields})


def constant(size: int = 24, **fields: Any) -> Tensor:
    return tensor("c", data=memoryview(bytes(size)), **fields)


def node(
    *inputs: Tensor | None, op: str = "mystery", outputs: tuple[Tensor, ...] | None = None, **fields: Any
) -> Node:
    return Node(op, inputs, (tensor("y"),) if outputs is None else outputs, **fields)


def graph(*nodes: Node, name: str = "main", inputs: tuple[Tensor, ...] = (), outputs: Any = None) -> Graph:
    ends = nodes[-1].outputs if nodes and outputs is None else outputs or ()
    return Graph(name, inputs, ends, nodes)


def with_input(of: Tensor, **fields: Any) -> Model:
    """A model of one opaque node that reads `of`."""
    inputs = () if of.constant or of.variable else (of,)
    return Model((graph(node(of, **fields), inputs=inputs),))


def quantised(
    scales: tuple[float, ...], points: tuple[int, ...] = (0,), axis: int = 0, **fields: Any
) -> Model:
    quantization = Quantization(scales, points, axis)
    return with_input(tensor("q", **{"dtype": DType.INT8, "quantization": quantization, **fields}))


def blockwise(size: int, scales: Tensor) -> Model:
    return with_input(
        constant(32, dtype=DType.INT4, shape=(1, 64), quantization=Quantization((), (), 1, size, scales))
    )


SCALES = tensor("scales", dtype=DType.FLOAT16, shape=(1, 2), data=memoryview(bytes(4)))


def sparse(size: int = 4, **fields: Any) -> Model:
    dims = ((2, None), ((0, 1, 1), (2,)))
    found = Sparsity(**{"traversal": (0, 1), "block_map": (), "dims": dims, **fields})
    return with_input(constant(size, sparsity=found))


def strings(*values: int, shape: tuple[int, ...] = (1,)) -> Model:
    data = memoryview(struct.pack(f"<{len(values)}i", *values) + b"text")
    return with_input(tensor("s", dtype=DType.STRING, shape=shape, data=data))


def calling(op: str = "caller", inputs: int = 1, **attrs: Any) -> Model:
    """A main graph that calls graph 1, which has one input and one output, and graph 1 again calls what `back` says."""
    x, inner = tensor("x"), tensor("x")
    back = attrs.pop("back", None)
    leaf = graph(node(inner, attrs={} if back is None else {"subgraph": back}), name="leaf", inputs=(inner,))
    return Model((graph(node(*[x] * inputs, op=op, attrs=attrs), inputs=(x,)), leaf))


def signed(graph_index: int = 0, side: str = "inputs") -> Model:
    model = with_input(tensor("x"))
    sides: dict[str, Any] = {"inputs": {}, "outputs": {}}
    sides[side] = {"name": tensor("stranger")}
    return replace(model, signatures=(Signature("serve", graph_index, **sides),))


X = tensor("x")
Y = tensor("y")

LEGAL: dict[str, Model] = {
    "plain": with_input(X),
    "constant": with_input(constant()),
    "int4, rounded up": with_input(constant(2, dtype=DType.INT4, shape=(3,))),
    "variable": with_input(tensor("v", variable=True)),
    "absent input": with_input(X, custom_code=""),
    "scratch of a custom op": Model((graph(node(X, op="custom", custom_code="npu")),)),
    "symbolic": with_input(tensor("x", signature=(-1, 3))),
    "per channel": quantised((0.5, 0.25, 0.0), (0, 0, 0), 1, data=memoryview(bytes(6))),
    "float with left-over scales": quantised((-1.0,), dtype=DType.FLOAT32),
    "blockwise": blockwise(32, SCALES),
    "sparse": sparse(),
    "block sparse": with_input(constant(
        8, shape=(2, 4), dtype=DType.INT16,
        sparsity=Sparsity((0, 1, 2), (1,), ((2, None), ((0, 1, 2), (1, 0)), (2, None))))),
    "strings": strings(1, 8 + 4, 8 + 8),
    "no strings": with_input(tensor("s", dtype=DType.STRING, shape=(0,), data=memoryview(b""))),
    "call": calling(subgraph=1),
    "branches": calling("if", inputs=2, then_subgraph_index=1, else_subgraph_index=1),
    "output is input": Model((graph(inputs=(X,), outputs=(X, X)),)),
}  # fmt: skip

ILLEGAL: dict[str, tuple[Model, str]] = {
    "no graph": (Model(()), "the model has no graph"),
    "rank": (with_input(tensor("x", shape=(1,) * 33)), "tensor 'x': rank 33 is beyond 32"),
    "negative size": (with_input(tensor("x", shape=(-1, 2))), "shape (-1, 2) has a negative size"),
    "huge": (with_input(tensor("x", shape=(1 << 31, 1 << 31))), "takes more than"),
    "signature rank": (with_input(tensor("x", signature=(-1,))), "signature (-1,) does not fit the shape"),
    "signature size": (with_input(tensor("x", signature=(-2, 3))), "signature (-2, 3) does not fit the shape"),
    "bytes": (with_input(constant(23)), "tensor 'c': 23 bytes of data, but its shape (2, 3) of float32 takes 24"),
    "constant variable": (with_input(constant(variable=True)), "a variable holds constant data"),
    "constant resource": (with_input(constant(dtype=DType.RESOURCE)), "a constant of dtype resource"),
    "string count": (strings(2, 8, 8, shape=(1,)), "2 strings in 16 bytes, but its shape (1,) has 1"),
    "string offset": (strings(1, 12, 99), "a string's offset 99 lies outside"),
    "string table": (with_input(tensor("s", dtype=DType.STRING, shape=(1,), data=memoryview(b"ab"))), "-1 strings in 2"),
    "negative scale": (quantised((-0.5,)), "tensor 'q': a scale is negative or not finite"),
    "infinite scale": (quantised((float("inf"),)), "a scale is negative or not finite"),
    "no scale": (quantised((0.0,)), "a scale is zero"),
    "zero point": (quantised((0.5,), (128,)), "zero point 128 does not fit int8"),
    "zero points": (quantised((0.5, 0.5, 0.5), (0, 0), 1), "3 scales, but 2 zero points"),
    "channels": (quantised((0.5, 0.5), (0, 0), 1), "2 scales for 3 channels of axis 1"),
    "axis": (quantised((0.5, 0.5), (0, 0), 7), "quantised along axis 7"),
    "block size": (blockwise(0, SCALES), "block size 0 is not positive"),
    "blocks": (blockwise(16, SCALES), "2 blocks of 16 do not make up the shape (1, 64)"),
    "block scales": (blockwise(32, replace(SCALES, data=None)), "block scales 'scales' are no float constant"),
    "block scales' bytes": (blockwise(32, replace(SCALES, data=memoryview(b""))), "tensor 'scales': 0 bytes of data"),
    "sparse values": (sparse(8), "8 bytes of data, but its sparsity has 1 values"),
    "sparse order": (sparse(traversal=(0, 0)), "sparsity that fits neither"),
    "sparse size": (sparse(dims=((3, None), ((0, 1, 1, 1), (2,)))), "sparsity that fits neither"),
    "sparse segments": (sparse(dims=((2, None), ((0, 2, 1), (2,)))), "sparse level 1: its segments"),
    "sparse index": (sparse(dims=((2, None), ((0, 1, 1), (3,)))), "sparse level 1: its segments"),
    "sparse block": (sparse(block_map=(5,), traversal=(0, 1, 2), dims=((2, None),) * 3), "sparsity that fits neither"),
    "input twice": (Model((graph(node(X), inputs=(X, X)),)), "input 1 has the name 'x' of an earlier one"),
    "output names": (Model((graph(inputs=(X, tensor("z")), outputs=(X, tensor("x"))),)), "output 1 has the name 'x'"),
    "written input": (Model((graph(node(outputs=(X,)), inputs=(X,)),)), "input 0 'x' is written by a node"),
    "two writers": (
        Model((graph(node(outputs=(Y,), origin="operator 0 ADD"), node(outputs=(Y,), origin="operator 1 SUB")),)),
        "operator 1 SUB: output 0 'y' is written by operator 0 ADD already"),
    "written constant": (Model((graph(node(outputs=(constant(),))),)), "output 0 'c' is a constant"),
    "order": (Model((graph(node(X)),)), "mystery: input 0 'x' has no value yet"),
    "own output": (Model((graph(node(Y, outputs=(Y,))),)), "input 0 'y' has no value yet"),
    "unwritten output": (Model((graph(outputs=(Y,)),)), "output 0 'y' never gets a value"),
    "custom code": (with_input(X, op="custom"), "a custom op has a custom_code"),
    "code of a builtin": (with_input(X, custom_code="npu"), "a custom op has a custom_code"),
    "stride": (with_input(X, attrs={"stride_w": 0}), "stride_w is 0, and must be at least 1"),
    "callee": (calling(subgraph=2), "subgraph 2 out of range of 2 graphs"),
    "callees": (calling(branch_subgraph_indices=(1, -1)), "branch_subgraph_indices -1 out of range"),
    "handed inputs": (calling(inputs=2, subgraph=1), "graph leaf takes 1 inputs and is given 2"),
    "condition": (calling("if", then_subgraph_index=1), "graph leaf takes 1 inputs and is given 0"),
    "results": (calling(inputs=1, init_subgraph_index=1), "graph leaf gives 1 outputs, not 0"),
    "recursion": (calling(subgraph=1, back=0), "is called in a circle"),
    "self": (calling(subgraph=1, back=1), "graph leaf is called in a circle"),
    "signature graph": (signed(graph_index=3), "signature 'serve': graph 3 out of range"),
    "signature input": (signed(), "signature 'serve': input 'name' is no input of graph main"),
    "signature output": (signed(side="outputs"), "signature 'serve': output 'name' is no output of graph main"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGAL)
def test_legal_models_have_no_problem(name: str) -> None:
    assert problems(LEGAL[name]) == []
    verify(LEGAL[name])


@pytest.mark.parametrize("name", ILLEGAL)
def test_illegal_models_are_refused_with_what_and_where(name: str) -> None:
    model, message = ILLEGAL[name]
    assert any(message in problem for problem in problems(model)), problems(model)
    with pytest.raises(ModelError):
        verify(model)


def test_problems_of_later_graphs_name_the_graph() -> None:
    model = Model((graph(inputs=(X,), outputs=(X,)), graph(node(tensor("x")), name="second")))
    assert problems(model) == ["subgraph 1 mystery: input 0 'x' has no value yet"]


def test_the_error_counts_the_others() -> None:
    with pytest.raises(ModelError, match=r"input 0 'x' has no value yet \(and 1 more\)$"):
        verify(Model((graph(node(X, tensor("z"))),)))


def test_the_list_is_bounded() -> None:
    assert len(problems(Model((graph(node(*(tensor(f"t{i}") for i in range(1000)))),)))) == 100


@pytest.fixture
def known_op(monkeypatch: pytest.MonkeyPatch) -> Callable[[OpSpec], None]:
    """Puts one op into the op table."""
    return lambda spec: monkeypatch.setattr(ops, "table", lambda: {spec.name: spec})


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ((X,), 1, ""),
        ((X, X, X), 1, ""),
        ((), 1, "mystery: 0 inputs; mystery takes 1 to 3"),
        ((X,) * 4, 1, "mystery: 4 inputs; mystery takes 1 to 3"),
        ((X,), 2, "mystery: 2 outputs; mystery takes 1"),
        ((None, X), 1, "mystery: input 0 is absent; mystery needs it"),
        ((X, None), 1, ""),
    ],
)
def test_arity_is_the_op_table_s(
    known_op: Callable[[OpSpec], None], inputs: tuple[Tensor | None, ...], outputs: int, message: str
) -> None:
    known_op(OpSpec("mystery", lambda *_: (), lambda *_: (), inputs=(1, 3)))
    of = node(*inputs, outputs=tuple(tensor(f"y{i}") for i in range(outputs)))
    assert problems(Model((graph(of, inputs=(X,)),))) == ([message] if message else [])


def test_inner_inputs_of_an_lstm_may_be_absent(known_op: Callable[[OpSpec], None]) -> None:
    known_op(OpSpec("lstm", lambda *_: (), lambda *_: (), inputs=(20, 24)))
    inputs: list[Tensor | None] = [X] * 20
    inputs[1] = inputs[5] = inputs[12] = None
    assert problems(Model((graph(node(*inputs, op="lstm"), inputs=(X,)),))) == []
    inputs[2] = None
    assert problems(Model((graph(node(*inputs, op="lstm"), inputs=(X,)),))) == [
        "lstm: input 2 is absent; lstm needs it"
    ]
