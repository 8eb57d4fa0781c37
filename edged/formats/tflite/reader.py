"""A .tflite file -> Model: the file's frame, its operator codes, signatures and metadata.

One subgraph is read by `subgraph`. Slots of tables are numbered as in LiteRT's schema.fbs.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING

from edged.errors import ModelError
from edged.formats.flatbuf import Buffer, Table
from edged.formats.sniff import kind
from edged.formats.tflite import opcodes
from edged.formats.tflite.schema import IDENTIFIER, VERSION
from edged.formats.tflite.source import OpCode, Source
from edged.formats.tflite.subgraph import read_graph
from edged.graph.model import Graph, Model, Signature, Tensor

if TYPE_CHECKING:
    from mmap import mmap

_GRAPH_COST = 2000
_NAME_COST = 300


def read(data: bytes | bytearray | memoryview | mmap, *, name: str = "") -> Model:
    """The model in a .tflite file; its constants are views of `data`, which must outlive it.

    `name` (the file's) opens every error message. ModelError when the bytes are no whole .tflite file of
    version 3, UnsupportedError when they ask for what edged cannot represent (float8, weights in another
    file).
    """
    view = memoryview(data).toreadonly().cast("B")
    source: Source | None = None
    try:
        _expect_tflite(view)
        source = Source(Buffer(view))
        return _model(source)
    except ModelError as error:
        parts = (name, source.place() if source else "", error.message)
        raise type(error)(": ".join(filter(None, parts)), remedy=error.remedy) from None


def _expect_tflite(view: memoryview) -> None:
    if bytes(view[4:8]) != IDENTIFIER:
        what, remedy = kind(view)
        raise ModelError(f"not a .tflite file: it is {what}", remedy=remedy)


def _model(source: Source) -> Model:
    root = source.root
    source.at("model")
    version = root.number(0, "I")
    if version != VERSION:
        raise ModelError(f"schema version {version}; only version {VERSION} is read")
    source.codes = tuple(_code(source, i, t) for i, t in enumerate(root.tables(1, _NAME_COST)))
    source.at("model")
    graphs: list[Graph] = []
    tensors: list[list[Tensor]] = []
    for index, table in enumerate(root.tables(2, _GRAPH_COST)):
        graph, of_graph = read_graph(source, index, table)
        graphs.append(graph)
        tensors.append(of_graph)
    if not graphs:
        raise ModelError("the file has no subgraph")
    signatures = tuple(_signature(source, i, t, tensors) for i, t in enumerate(root.tables(7, _NAME_COST)))
    source.at("model")
    metadata = MappingProxyType(dict(_metadata(source)))
    source.at("model")
    return Model(tuple(graphs), signatures, root.text(3), metadata, "tflite")


def _code(source: Source, index: int, table: Table) -> OpCode:
    """An operator code. The wider `builtin_code` holds codes that do not fit in the old one-byte field."""
    source.at("operator code", index)
    code = max(table.number(0, "b"), table.number(3, "i"))
    if code < 0:
        raise ModelError(f"builtin code {code} is negative")
    custom = table.text(1) if code == opcodes.CUSTOM else ""
    if code == opcodes.CUSTOM and not custom:
        raise ModelError("a custom operator has no name")
    return OpCode(opcodes.name(code), custom, table.number(2, "i", 1))


def _signature(source: Source, index: int, table: Table, tensors: list[list[Tensor]]) -> Signature:
    source.at("signature", index)
    graph = table.number(4, "I")
    if graph >= len(tensors):
        raise ModelError(f"subgraph {graph} out of range (the file has {len(tensors)})")
    inputs = _tensor_map(table, 0, "input", tensors[graph])
    outputs = _tensor_map(table, 1, "output", tensors[graph])
    return Signature(table.text(2), graph, inputs, outputs)


def _tensor_map(table: Table, slot: int, side: str, tensors: list[Tensor]) -> MappingProxyType[str, Tensor]:
    found: dict[str, Tensor] = {}
    for entry in table.tables(slot, _NAME_COST):
        name, index = entry.text(0), entry.number(1, "I")
        if index >= len(tensors):
            raise ModelError(f"{side} {name!r} out of range: tensor {index} of {len(tensors)}")
        if name in found:
            raise ModelError(f"{side} {name!r} is named twice")
        found[name] = tensors[index]
    return MappingProxyType(found)


def _metadata(source: Source) -> Iterator[tuple[str, memoryview]]:
    for index, table in enumerate(source.root.tables(6, _NAME_COST)):
        source.at("metadata", index)
        yield table.text(0), source.data(table.number(1, "I")) or memoryview(b"")
