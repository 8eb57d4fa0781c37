"""Graphs cut out of models, and control flow written by us: LiteRT runs them and gives what it should."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edged.formats.tflite import read, write_graph
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.graph.verify import verify

Array = np.ndarray[Any, np.dtype[Any]]


def run(data: bytes, inputs: list[Array]) -> list[Array]:
    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def cut(graph: Graph, at: int) -> tuple[Graph, Graph]:
    """The nodes before and from `at`, with what crosses as outputs of the one and inputs of the other."""
    first, second = graph.nodes[:at], graph.nodes[at:]
    given = dict.fromkeys([*graph.inputs, *(t for node in first for t in node.outputs)])
    wanted = {t for node in second for t in node.inputs} | set(graph.outputs)
    crossing = tuple(t for t in given if t in wanted)
    written = tuple(t for t in crossing if t not in graph.inputs)
    return Graph("first", graph.inputs, written, first), Graph("second", crossing, graph.outputs, second)


@pytest.mark.parametrize(
    "file",
    [
        "mlperf_tiny/kws_ref_model_int8.tflite",
        "mlperf_tiny/ic_pretrainedResnet_fp32.tflite",
        "vision/mobilenet_v2_1.0_224_quant.tflite",
        "audio/kws_ds_cnn_s_int8.tflite",
    ],
)
def test_two_halves_give_what_the_whole_gives(models: Path, file: str) -> None:
    data = (models / file).read_bytes()
    graph = read(data).main
    dtype = np.dtype(str(graph.inputs[0].dtype))
    rng = np.random.default_rng(1)
    full = (
        rng.integers(0, 100, graph.inputs[0].shape)
        if dtype.kind in "iu"
        else rng.uniform(-1, 1, graph.inputs[0].shape)
    )
    whole = run(data, [full.astype(dtype)])
    for at in (1, len(graph.nodes) // 3, len(graph.nodes) - 1):
        first, second = cut(graph, at)
        values = dict(zip(first.outputs, run(write_graph(first), [full.astype(dtype)]), strict=True))
        values[graph.inputs[0]] = full.astype(dtype)
        halves = run(write_graph(second), [values[t] for t in second.inputs])
        assert [a.tobytes() for a in halves] == [a.tobytes() for a in whole], f"cut at node {at}"


def scalar(name: str, value: int | None = None, dtype: DType = DType.INT32) -> Tensor:
    data = None if value is None else memoryview(value.to_bytes(4, "little"))
    return Tensor(name, dtype, (1,), data=data)


def test_a_while_loop_that_calls_other_graphs_runs() -> None:
    i, more = scalar("i"), scalar("more", dtype=DType.BOOL)
    cond = Graph("cond", (i,), (more,), (Node("less", (i, scalar("ten", 10)), (more,)),))
    k, sum_ = scalar("k"), scalar("sum")
    body = Graph("body", (k,), (sum_,), (Node("add", (k, scalar("three", 3)), (sum_,)),))
    x, y = scalar("x"), scalar("y")
    attrs = {"cond_subgraph_index": 3, "body_subgraph_index": 1}
    loop = Graph("loop", (x,), (y,), (Node("while", (x,), (y,), attrs),))
    unused = Graph("unused", (), (), ())
    data = write_graph(loop, Model((loop, body, unused, cond)))
    verify(read(data))
    assert run(data, [np.array([2], np.int32)])[0].tolist() == [11]


def test_a_branch_that_calls_other_graphs_runs() -> None:
    graphs = []
    for name, op in (("then", "neg"), ("else", "abs")):
        a, b = scalar(f"{name}_a"), scalar(f"{name}_b")
        graphs.append(Graph(name, (a,), (b,), (Node(op, (a,), (b,)),)))
    flag, x, y = scalar("flag", dtype=DType.BOOL), scalar("x"), scalar("y")
    node = Node("if", (flag, x), (y,), {"then_subgraph_index": 1, "else_subgraph_index": 2})
    branch = Graph("branch", (flag, x), (y,), (node,))
    data = write_graph(branch, Model((branch, *graphs)))
    verify(read(data))
    assert run(data, [np.array([True]), np.array([-4], np.int32)])[0].tolist() == [4]
    assert run(data, [np.array([False]), np.array([-4], np.int32)])[0].tolist() == [4]
    assert run(data, [np.array([True]), np.array([4], np.int32)])[0].tolist() == [-4]


def test_constants_are_views_of_a_mapped_file(models: Path) -> None:
    with (models / "mlperf_tiny/kws_ref_model_int8.tflite").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    model = read(mapped)
    assert all(t.data is not None and t.data.obj is mapped for t in model.main.constants)
    with pytest.raises(BufferError):
        mapped.close()
