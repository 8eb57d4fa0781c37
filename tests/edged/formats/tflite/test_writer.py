"""The writer against LiteRT's generated reader and our own: every op with every option, and the shape of the file."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from ai_edge_litert import schema_py_generated as generated

from edged.errors import ModelError
from edged.formats.tflite import read, write, write_graph
from edged.formats.tflite.schema import Field, options
from edged.graph.model import DType, Graph, Model, Node, Quantization, Signature, Sparsity, Tensor

NUMBERS = {"?": True, "b": 1, "B": 1, "i": 7, "I": 7, "q": -(1 << 40), "f": 0.25}


def tensor(name: str, **fields: Any) -> Tensor:
    return Tensor(name, **{"dtype": DType.FLOAT32, "shape": (1, 2), **fields})


def one_node(op: str, constants: tuple[Tensor, ...] = (), **fields: Any) -> Model:
    x, y = tensor("x"), tensor("y")
    return Model((Graph("main", (x,), (y,), (Node(op, (x, *constants), (y,), **fields),)),))


def other_than_default(field: Field) -> Any:
    """A value that the file must really hold."""
    value: Any = "name" if field.code == "s" else NUMBERS[field.code]
    if field.code == "?" and field.default is True:
        value = False
    if field.enum is not None:
        value = next((name for name in field.enum if name != field.default), field.enum[0])
    if field.vector:
        return b"\x01\x02" if field.code == "B" else (value, value)
    return value


@pytest.mark.parametrize("op", options())
def test_every_option_of_every_op_survives(op: str) -> None:
    attrs = {field.name: other_than_default(field) for field in options()[op].fields}
    node = read(write(one_node(op, attrs=attrs, version=3))).main.nodes[0]
    assert (node.op, node.version) == (op, 3)
    assert dict(node.attrs) == attrs


@pytest.mark.parametrize("op", [op for op, row in options().items() if row.fields])
def test_absent_options_mean_defaults(op: str) -> None:
    node = read(write(one_node(op))).main.nodes[0]
    assert dict(node.attrs) == options()[op].defaults


def test_litert_s_reader_sees_the_options() -> None:
    attrs = {"padding": "VALID", "stride_w": 2, "stride_h": 3, "fused_activation_function": "RELU6"}
    model = generated.Model.GetRootAs(write(one_node("conv_2d", attrs=attrs)))
    conv = generated.Conv2DOptions()
    operator = model.Subgraphs(0).Operators(0)
    conv.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
    assert operator.BuiltinOptionsType() == generated.BuiltinOptions.Conv2DOptions
    assert (conv.Padding(), conv.StrideW(), conv.StrideH(), conv.DilationWFactor()) == (1, 2, 3, 1)
    assert conv.FusedActivationFunction() == generated.ActivationFunctionType.RELU6


def test_operator_codes_beyond_a_byte_have_the_placeholder() -> None:
    code = generated.Model.GetRootAs(write(one_node("gelu"))).OperatorCodes(0)
    assert (code.DeprecatedBuiltinCode(), code.BuiltinCode()) == (127, generated.BuiltinOperator.GELU)


def test_opaque_nodes_keep_their_code_and_options() -> None:
    custom = read(write(one_node("custom", custom_code="ethos-u", options=b"\1\2\3"))).main.nodes[0]
    assert (custom.kind, custom.options) == ("custom:ethos-u", b"\1\2\3")
    assert read(write(one_node("unknown_1000"))).main.nodes[0].op == "unknown_1000"


def test_constants_are_aligned_and_shared() -> None:
    data = memoryview(bytes(range(8)))
    pair = (tensor("a", data=data), tensor("b", data=data), tensor("c", data=memoryview(bytes(8))))
    out = write(one_node("add_n", pair))
    model = generated.Model.GetRootAs(out)
    graph = model.Subgraphs(0)
    buffers = {graph.Tensors(i).Name(): graph.Tensors(i).Buffer() for i in range(graph.TensorsLength())}
    assert buffers[b"a"] == buffers[b"b"] != buffers[b"c"]
    assert buffers[b"x"] == 0
    assert out.index(bytes(data)) % 16 == 0
    assert model.BuffersLength() == 3
    assert model.Buffers(0).DataLength() == 0


def test_reading_copies_no_constant() -> None:
    out = write(one_node("add", (tensor("a", data=memoryview(bytes(8))),)))
    (constant,) = read(out).main.constants
    assert constant.data is not None
    assert constant.data.obj is out


def test_constants_beyond_2_gb_lie_behind_the_flatbuffer() -> None:
    model = one_node(
        "add", (tensor("a", data=memoryview(b"01234567")), tensor("b", data=memoryview(b"abcdefgh")))
    )
    out = write(model, inline_limit=10)
    buffer = generated.Model.GetRootAs(out).Buffers(2)
    assert buffer.DataLength() == 0
    assert out[buffer.Offset() : buffer.Offset() + buffer.Size()] == b"abcdefgh"
    assert [bytes(t.data or b"") for t in read(out).main.constants] == [b"01234567", b"abcdefgh"]


def test_quantisation_survives() -> None:
    channels = Quantization((0.5, 0.25), (0, 0), 1)
    scales = tensor("scales", dtype=DType.FLOAT16, shape=(1, 2), data=memoryview(bytes(4)))
    blocks = Quantization((), (), 1, 32, scales)
    weights = tensor("w", dtype=DType.INT4, shape=(1, 64), data=memoryview(bytes(32)), quantization=blocks)
    bias = tensor("b", dtype=DType.INT8, data=memoryview(bytes(2)), quantization=channels)
    _, w, b = read(write(one_node("fully_connected", (weights, bias)))).main.nodes[0].inputs
    assert w is not None
    assert b is not None
    assert b.quantization == channels
    assert w.dtype is DType.INT4
    found = w.quantization
    assert found is not None
    assert found.block_scales is not None
    assert (found.block_size, found.axis, found.block_scales.name) == (32, 1, "scales")
    assert found.block_zero_points is None


def test_sparsity_survives_in_the_narrowest_type() -> None:
    dims = ((2, None), ((0, 1, 300), tuple(range(300))))
    sparsity = Sparsity((0, 1), (), dims)
    sparse = tensor("s", shape=(2, 300), data=memoryview(bytes(1200)), sparsity=sparsity)
    found = read(write(one_node("densify", (sparse,)))).main.nodes[0].inputs[1]
    assert found is not None
    assert found.sparsity is not None
    assert found.sparsity.dims[0] == (2, None)
    segments, indices = found.sparsity.dims[1]
    assert isinstance(segments, memoryview)
    assert isinstance(indices, memoryview)
    assert (segments.format, tuple(segments)) == ("H", (0, 1, 300))
    assert tuple(indices) == tuple(range(300))


def test_variables_signatures_and_metadata_survive() -> None:
    x, y, state = tensor("x", signature=(-1, 2)), tensor("y"), tensor("s", variable=True)
    graph = Graph("main", (x,), (y,), (Node("add", (x, state), (y,)),))
    signature = Signature("serving_default", 0, MappingProxyType({"in": x}), MappingProxyType({"out": y}))
    model = read(
        write(Model((graph,), (signature,), "a text", {"min_runtime_version": memoryview(b"1.5.0")}))
    )
    assert model.description == "a text"
    assert bytes(model.metadata["min_runtime_version"]) == b"1.5.0"
    assert model.signatures[0].inputs["in"] is model.main.inputs[0]
    assert model.signatures[0].outputs["out"] is model.main.outputs[0]
    assert model.main.inputs[0].signature == (-1, 2)
    assert [t.name for t in model.main.variables] == ["s"]


def test_the_same_model_gives_the_same_bytes() -> None:
    assert write(one_node("conv_2d")) == write(one_node("conv_2d"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (one_node("add", attrs={"pad_top": 1}), "no field for attribute 'pad_top'"),
        (one_node("add", attrs={"fused_activation_function": "SWISH"}), "SWISH"),
        (one_node("fused_block"), "op 'fused_block' has no code"),
        (one_node("custom"), "no custom_code"),
        (one_node("softmax", attrs={"beta": "hot"}), "beta='hot' does not fit"),
        (one_node("split", attrs={"num_splits": 1 << 40}), "a number does not fit its field"),
        (one_node("add", (tensor("a", shape=(1 << 31,)),)), "a number does not fit its field"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(model: Model, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        write(model)


def calling(name: str, op: str, **attrs: int) -> Graph:
    x, y = tensor("x"), tensor("y")
    return Graph(name, (x,), (y,), (Node(op, (x,), (y,), attrs),))


def test_an_extracted_graph_takes_the_graphs_it_calls_along() -> None:
    cond, body = calling("cond", "relu"), calling("body", "call", subgraph=3)
    model = Model((calling("other", "abs"), cond, body, calling("leaf", "neg"), calling("unused", "exp")))
    loop = calling("loop", "while", cond_subgraph_index=1, body_subgraph_index=2)
    found = read(write_graph(loop, model))
    assert [graph.name for graph in found.graphs] == ["loop", "cond", "body", "leaf"]
    assert dict(found.main.nodes[0].attrs) == {"cond_subgraph_index": 1, "body_subgraph_index": 2}
    assert dict(found.graphs[2].nodes[0].attrs) == {"subgraph": 3}


def test_an_extracted_graph_whose_callee_is_missing_is_refused() -> None:
    with pytest.raises(ModelError, match="subgraph 3 names no graph"):
        write_graph(calling("alone", "call", subgraph=3))
