"""The tables against LiteRT's own generated classes: codes, enums, and each field's slot, name and default."""

from __future__ import annotations

import inspect
import re
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as generated

from edged.errors import ModelError
from edged.formats.tflite import opcodes
from edged.formats.tflite.schema import DTYPES, Field, Options, options
from edged.graph.model import DType


def constants(name: str) -> dict[int, str]:
    """Number -> name of an enum of the generated module."""
    return {v: k for k, v in vars(getattr(generated, name)).items() if isinstance(v, int)}


def empty(name: str) -> Any:
    """A generated reader over a table without fields: it gives the defaults."""
    builder = flatbuffers.Builder(0)
    builder.StartObject(0)
    builder.Finish(builder.EndObject())
    return getattr(generated, name).GetRootAs(builder.Output(), 0)


def test_operators_have_litert_s_codes() -> None:
    assert {i: name.upper() for i, name in enumerate(opcodes.NAMES)} == constants("BuiltinOperator")


def test_element_types_have_litert_s_codes() -> None:
    theirs = constants("TensorType")
    assert [theirs[i] for i in range(len(DTYPES))] == [str(dtype).upper() for dtype in DTYPES]
    assert set(DTYPES) == set(DType)


def test_an_unknown_code_keeps_its_number() -> None:
    assert opcodes.name(999) == "unknown_999"
    assert opcodes.code("unknown_999") == 999
    with pytest.raises(ModelError, match="fused_magic"):
        opcodes.code("fused_magic")


def tables() -> list[tuple[str, str, Options]]:
    unions = {1: constants("BuiltinOptions"), 2: constants("BuiltinOptions2")}
    return [(op, unions[row.union][row.number], row) for op, row in options().items()]


def test_every_options_table_of_the_schema_is_here() -> None:
    ours = {(row.union, row.number) for row in options().values()}
    theirs = {(u, n) for u, e in ((1, "BuiltinOptions"), (2, "BuiltinOptions2")) for n in constants(e) if n}
    assert ours == theirs


@pytest.mark.parametrize(
    ("op", "name", "row"), tables(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_fields_have_litert_s_slots_and_defaults(op: str, name: str, row: Options) -> None:
    reader = empty(name)
    assert op in opcodes.NAMES
    for field in row.fields:
        method = getattr(reader, "".join(part.capitalize() for part in field.name.split("_")))
        found = re.search(r"Offset\((\d+)\)", inspect.getsource(method))
        assert found is not None
        assert (int(found[1]) - 4) // 2 == field.slot
        if not field.vector:
            assert plain(field, method()) == field.default


def plain(field: Field, value: Any) -> Any:
    """A value as our attributes have it: strings for enums and text."""
    if field.code == "s":
        return "" if value is None else value.decode()
    return field.enum[value] if field.enum is not None else value
