"""One subgraph of a .tflite file -> Graph: operators with their options, in topological order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from edged.errors import ModelError
from edged.formats.flatbuf import Table
from edged.formats.tflite.order import topological
from edged.formats.tflite.schema import Field, Options, options
from edged.formats.tflite.source import OpCode, Source
from edged.formats.tflite.tensors import read_tensors
from edged.graph.model import NO_ATTRS, Attrs, Graph, Node, Tensor

_NODE_COST = 600
_ATTRS_COST = 300


@dataclass(frozen=True, slots=True)
class _Operator:
    """An operator of the file; tensors are still indices, -1 for an absent input."""

    table: Table
    code: OpCode
    place: tuple[object, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_graph(source: Source, index: int, table: Table) -> tuple[Graph, list[Tensor]]:
    """The graph of the file's subgraph `index`, and its tensors in the file's order."""
    prefix: tuple[object, ...] = ("subgraph", index) if index else ()
    here = prefix or ("model",)
    source.at(*here)
    _, count = table.vector(0, 4)
    name = table.text(4) or ("main" if index == 0 else f"subgraph_{index}")
    inputs = _indices(table.numbers(1, "i"), "graph input", count)
    outputs = _indices(table.numbers(2, "i"), "graph output", count)
    operators = [_operator(source, prefix, i, t, count) for i, t in enumerate(table.tables(3, _NODE_COST))]
    filled = {i for op in operators for i in op.outputs}.union(inputs)
    source.at(*here)
    tensors = read_tensors(source, prefix, table, filled)
    for i in inputs:  # a caller's value replaces the one that the file has for an input
        if tensors[i].data is not None:
            tensors[i] = replace(tensors[i], data=None)
    source.at(*here)
    order = topological([(op.inputs, op.outputs) for op in operators], count)
    nodes = [_node(source, operators[i], tensors) for i in order]
    source.at("model")
    return Graph(name, _pick(tensors, inputs), _pick(tensors, outputs), tuple(nodes)), tensors


def _indices(values: Sequence[int], what: str, count: int, least: int = 0) -> tuple[int, ...]:
    for place, value in enumerate(values):
        if not least <= value < count:
            raise ModelError(f"{what} {place} out of range: tensor {value} of {count}")
    return tuple(values)


def _pick(tensors: list[Tensor], indices: Iterable[int]) -> tuple[Tensor, ...]:
    return tuple(tensors[i] for i in indices)


def _operator(source: Source, prefix: tuple[object, ...], index: int, table: Table, count: int) -> _Operator:
    source.at(*prefix, "operator", index)
    number = table.number(0, "I")
    if number >= len(source.codes):
        raise ModelError(f"operator code {number} out of range (the file has {len(source.codes)})")
    code = source.codes[number]
    place = (*prefix, "operator", index, code.title)
    source.at(*place)
    inputs = _indices(table.numbers(1, "i"), "input", count, least=-1)
    outputs = _indices(table.numbers(2, "i"), "output", count)
    return _Operator(table, code, place, inputs, outputs)


def _node(source: Source, operator: _Operator, tensors: list[Tensor]) -> Node:
    source.at(*operator.place)
    table, code = operator.table, operator.code
    inner = _indices(table.numbers(8, "i"), "intermediate", len(tensors))
    source.buffer.charge(0, 8 * (len(operator.inputs) + len(operator.outputs)))
    return Node(
        op=code.op,
        inputs=tuple(None if i < 0 else tensors[i] for i in operator.inputs),
        outputs=_pick(tensors, operator.outputs),
        attrs=_attrs(source, code.op, table),
        version=code.version,
        custom_code=code.custom,
        options=_custom_options(source, table) if code.custom else b"",
        origin=source.place(),
        intermediates=_pick(tensors, inner),
    )


def _custom_options(source: Source, table: Table) -> bytes:
    view = table.view(5)
    offset = table.number(9, "Q")
    if not view and offset > 1:
        view = source.outlying(offset, table.number(10, "Q"))
    source.buffer.charge(len(view), len(view))
    return bytes(view)


def _attrs(source: Source, op: str, table: Table) -> Attrs:
    """Every attribute of the op's options table.

    A table of another type than the op's counts as absent, as it does in LiteRT. Where it is absent LiteRT
    leaves the parameters zeroed; that shows in flags whose default is true.
    """
    row = options().get(op)
    if row is None or not row.fields:
        return NO_ATTRS
    source.buffer.charge(0, _ATTRS_COST)
    type_slot, slot = (3, 4) if row.union == 1 else (11, 12)
    given = table.table(slot) if table.number(type_slot, "B") == row.number else None
    return MappingProxyType(_zeroed(row) if given is None else {f.name: _value(given, f) for f in row.fields})


def _zeroed(row: Options) -> dict[str, Any]:
    return {name: False if value is True else value for name, value in row.defaults.items()}


def _value(table: Table, field: Field) -> Any:
    if field.code == "s":
        return table.text(field.slot)
    if field.code == "B" and field.vector:
        view = table.view(field.slot)
        table.buffer.charge(len(view), len(view))
        return bytes(view)
    if field.vector:
        values = table.numbers(field.slot, field.code)
        return tuple(_named(field, v) for v in values) if field.enum else values
    if field.enum is None:
        return table.number(field.slot, field.code, field.default)
    value = table.number(field.slot, field.code, None)
    return field.default if value is None else _named(field, value)


def _named(field: Field, value: int) -> str:
    assert field.enum is not None
    if not 0 <= value < len(field.enum):
        raise ModelError(f"{field.name} {value} is not one of {', '.join(field.enum)}")
    return field.enum[value]
