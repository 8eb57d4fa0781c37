"""What the reader makes of odd files, and what it says of broken ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edged.errors import ModelError, UnsupportedError
from edged.formats.tflite import read
from edged.formats.tflite.emit import Blob, Emitter, Numbers, Scalar, Table, Text, Vector
from edged.graph.model import DType

Cells = dict[int, Any]


def tensor(**cells: Any) -> Table:
    """A float32 tensor of shape 2; cells by slot: `s3=Text("x")`."""
    return Table({0: Numbers("i", (2,)), **slots(cells)})


def slots(cells: Cells) -> Cells:
    return {int(name[1:]): cell for name, cell in cells.items() if cell is not None}


def operator(inputs: tuple[int, ...] = (0,), outputs: tuple[int, ...] = (1,), **cells: Any) -> Table:
    return Table({1: Numbers("i", inputs), 2: Numbers("i", outputs), **slots(cells)})


def graph(tensors: list[Table] | None = None, operators: list[Table] | None = None, **cells: Any) -> Table:
    return Table({
        0: Vector([tensor(), tensor()] if tensors is None else tensors),
        1: Numbers("i", (0,)),
        2: Numbers("i", (1,)),
        3: Vector([operator()] if operators is None else operators),
        **slots(cells),
    })  # fmt: skip


def file(*graphs: Table, code: int = 0, identifier: bytes = b"TFL3", **cells: Any) -> bytes:
    """A file of the given subgraphs, one operator code, and buffers 0 (empty) and 1 (8 bytes)."""
    codes = Vector([Table({0: Scalar("b", min(code, 127)), 3: Scalar("i", code)})])
    root = {
        0: Scalar("I", 3), 1: codes, 2: Vector(graphs or [graph()]),
        4: Vector([Table({}), Table({0: Blob(b"12345678")})]), **slots(cells),
    }  # fmt: skip
    return bytes(Emitter(identifier).write(Table({k: v for k, v in root.items() if v is not None})))


def quantised(**cells: Any) -> bytes:
    return file(graph([tensor(), tensor(s1=Scalar("b", 9), s4=Table(slots(cells)))]))


def test_a_plain_file_reads() -> None:
    model = read(file())
    assert str(model) == "\n".join([
        "graph main(%tensor_0:float32[2]) -> (%tensor_1:float32[2])",
        "  %tensor_1:float32[2] = add(%tensor_0:float32[2]) {fused_activation_function=NONE pot_scale_int16=False}",
    ])  # fmt: skip
    assert model.main.nodes[0].origin == "operator 0 ADD"


def test_names_are_made_unique() -> None:
    same = [tensor(s3=Text(name)) for name in ("x", "x", "x#2", "x", "", "")]
    found = read(file(graph(same, [operator((0, 2, 3, 4, 5))]))).main.tensors
    assert [t.name for t in found] == ["x", "x#2#2", "x#3", "tensor_4", "tensor_5", "x#2"]


def test_names_that_are_not_utf_8_are_read() -> None:
    data = file(graph([tensor(s3=Text("abc")), tensor()])).replace(b"abc", b"a\xffc")
    assert read(data).main.inputs[0].name == "a\ufffdc"


def test_operators_out_of_order_are_sorted() -> None:
    tensors = [tensor(), tensor(), tensor()]
    model = read(file(graph(tensors, [operator((2,), (1,)), operator((0,), (2,))])))
    assert [node.origin for node in model.main.nodes] == ["operator 1 ADD", "operator 0 ADD"]


def test_the_older_field_holds_small_codes() -> None:
    codes = Vector([Table({0: Scalar("b", 3)})])
    assert read(file(s1=codes)).main.nodes[0].op == "conv_2d"


def test_options_of_another_type_count_as_absent() -> None:
    pool = Table({1: Scalar("i", 9)})
    node = read(file(graph(operators=[operator(s3=Scalar("B", 5), s4=pool)]), code=3)).main.nodes[0]
    assert node.attrs["stride_w"] == 0


def test_a_single_scale_may_name_any_axis() -> None:
    data = quantised(s2=Numbers("f", (0.5,)), s3=Numbers("q", (3,)), s6=Scalar("i", 3))
    found = read(data).main.outputs[0].quantization
    assert found is not None
    assert (found.scale, found.zero_point, found.axis) == (0.5, 3, 0)


def test_ranges_alone_are_no_quantisation() -> None:
    assert (
        read(quantised(s0=Numbers("f", (0.0,)), s1=Numbers("f", (1.0,)))).main.outputs[0].quantization is None
    )


def test_a_tensor_of_no_elements_that_nobody_writes_is_a_constant() -> None:
    empty = tensor(s0=Numbers("i", (0,)), s1=Scalar("b", 2))
    found = read(file(graph([tensor(), tensor(), empty], [operator((0, 2))]))).main.nodes[0].input(1)
    assert (found.constant, found.dtype) == (True, DType.INT32)


def test_large_custom_options_are_found_by_their_place() -> None:
    codes = Vector([Table({0: Scalar("b", 32), 1: Text("mine")})])
    data = file(graph(operators=[operator(s9=Scalar("Q", 4), s10=Scalar("Q", 4))]), s1=codes)
    assert read(data).main.nodes[0].options == b"TFL3"


BROKEN: dict[str, tuple[bytes, str]] = {
    "version": (file(s0=Scalar("I", 4)), "model: schema version 4; only version 3 is read"),
    "no graph": (file(s2=Vector([])), "the file has no subgraph"),
    "input": (file(graph(operators=[operator((0, 7))])), "operator 0 ADD: input 1 out of range: tensor 7 of 2"),
    "output": (file(graph(operators=[operator(outputs=(-1,))])), "operator 0 ADD: output 0 out of range: tensor -1 of 2"),
    "graph input": (file(graph(s1=Numbers("i", (9,)))), "model: graph input 0 out of range: tensor 9 of 2"),
    "second graph": (
        file(graph(), graph(operators=[operator((5,))])), "subgraph 1 operator 0 ADD: input 0 out of range"),
    "opcode": (file(graph(operators=[operator(s0=Scalar("I", 4))])), "operator 0: operator code 4 out of range"),
    "buffer": (file(graph([tensor(s2=Scalar("I", 5)), tensor()])), "tensor 0 'tensor_0': buffer 5 out of range"),
    "no buffers": (file(s4=Vector([])), "tensor 0 'tensor_0': buffer 0 out of range (the file has 0)"),
    "negative code": (file(s1=Vector([Table({3: Scalar("i", -7), 0: Scalar("b", -7)})])), "builtin code -7 is negative"),
    "nameless custom": (file(code=32), "operator code 0: a custom operator has no name"),
    "enum": (
        file(graph(operators=[operator(s3=Scalar("B", 1), s4=Table({0: Scalar("b", 9)}))]), code=3),
        "operator 0 CONV_2D: padding 9 is not one of SAME, VALID"),
    "element type": (file(graph([tensor(s1=Scalar("b", 77)), tensor()])), "element type 77 is not known"),
    "external": (file(graph([tensor(s10=Scalar("I", 1)), tensor()])), "its data lies in another file"),
    "zero points": (quantised(s2=Numbers("f", (1.0, 2.0))), "2 scales, but 0 zero points"),
    "blockwise": (quantised(s4=Scalar("B", 2), s5=Table({0: Scalar("i", 1)})), "blockwise scales: tensor 1 is out"),
    "no details": (quantised(s4=Scalar("B", 2)), "blockwise quantisation has no details"),
    "axes": (
        quantised(s4=Scalar("B", 3), s5=Table({3: Numbers("i", (0, 1))})), "quantisation along 2 axes at once"),
    "scales by tensor": (
        quantised(s4=Scalar("B", 3), s5=Table({3: Numbers("i", (0,))})), "per-channel quantisation whose scales are a tensor"),
    "sparsity": (
        file(graph([tensor(s6=Table({2: Vector([Table({0: Scalar("b", 1)})])})), tensor()])),
        "a sparse dimension has no segments"),
    "circle": (file(graph(operators=[operator((1,), (1,))])), "model: operators wait for each other in a circle"),
    "signature": (file(s7=Vector([Table({4: Scalar("I", 8)})])), "signature 0: subgraph 8 out of range"),
    "signature input": (
        file(s7=Vector([Table({0: Vector([Table({0: Text("in"), 1: Scalar("I", 8)})])})])),
        "signature 0: input 'in' out of range: tensor 8 of 2"),
    "signature twice": (
        file(s7=Vector([Table({1: Vector([Table({0: Text("out")})] * 2)})])),
        "signature 0: output 'out' is named twice"),
    "metadata": (file(s6=Vector([Table({1: Scalar("I", 9)})])), "metadata 0: buffer 9 out of range"),
    "outlying": (
        file(s4=Vector([Table({}), Table({1: Scalar("Q", 1 << 63), 2: Scalar("Q", 1 << 63)})]),
             s2=Vector([graph([tensor(s2=Scalar("I", 1)), tensor()])])), "lies outside the file"),
    "identifier": (file(identifier=b"MSL2"), "not a .tflite file: it is a MindSpore Lite model"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_with_the_place(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(ModelError) as caught:
        read(data, name="m.tflite")
    assert caught.value.message.startswith("m.tflite: ")
    assert message in caught.value.message


def test_what_is_only_unsupported_says_so() -> None:
    for name in ("element type", "external", "axes"):
        with pytest.raises(UnsupportedError):
            read(BROKEN[name][0])


def test_every_truncation_is_refused() -> None:
    data = file()
    for length in range(len(data) - 8):
        with pytest.raises(ModelError):
            read(data[:length])


def test_invalid_files_are_refused_clearly(models: Path) -> None:
    said = {}
    for path in sorted((models / "invalid").iterdir()):
        with pytest.raises(ModelError) as caught:
            read(path.read_bytes(), name=path.name)
        said[path.name] = str(caught.value)
    assert all(message.startswith(name + ": ") for name, message in said.items())
    assert "git-lfs pointer" in said["lfs_pointer_ds_cnn_s.tflite"]
    assert "plain text" in said["bad_model_29_bytes.tflite"]
    assert "buffer 0 out of range (the file has 0)" in said["model_invoking_error.tflite"]


def test_an_input_with_a_value_takes_the_callers() -> None:
    """LiteRT overwrites the value that a file stores for a graph input; nothing may be folded over it."""
    model = read(file(graph([tensor(s2=Scalar("I", 1)), tensor()])))
    assert not model.main.inputs[0].constant
    assert model.main.nodes[0].inputs[0] is model.main.inputs[0]
