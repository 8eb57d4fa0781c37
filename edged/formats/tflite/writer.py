"""Model -> a .tflite file (schema version 3). The same model gives the same bytes.

Constants lie on multiples of 16 bytes, as LiteRT wants them; one buffer for all tensors that share a view.
Slots of tables are numbered as in LiteRT's schema.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from edged.errors import ModelError
from edged.formats.tflite import opcodes
from edged.formats.tflite.emit import Blob, Emitter, Numbers, Object, Scalar, Table, Text, Vector
from edged.formats.tflite.extract import with_called_graphs
from edged.formats.tflite.fields import options_cells
from edged.formats.tflite.schema import DTYPES, IDENTIFIER, VERSION
from edged.graph.model import Graph, Model, Node, Quantization, Signature, Sparsity, Tensor

INLINE_LIMIT = (1 << 31) - (1 << 26)
"""Constants beyond this many bytes lie behind the flatbuffer, whose own offsets end at 2 GB."""

_DTYPE_CODES = {dtype: code for code, dtype in enumerate(DTYPES)}
_BLOCKWISE = 2


def write(model: Model, *, inline_limit: int = INLINE_LIMIT) -> bytes:
    """The bytes of a .tflite file. ModelError for what the format cannot hold."""
    try:
        return _Writer(model, inline_limit).write()
    except struct.error as error:
        raise ModelError(f"a number does not fit its field of the .tflite format: {error}") from error


def write_graph(graph: Graph, model: Model | None = None) -> bytes:
    """A .tflite file whose main graph is `graph`, for instance an extracted subgraph.

    `model` gives the graphs that its nodes call by index (IF, WHILE, CALL_ONCE ...); they go in too.
    """
    return write(with_called_graphs(graph, model))


class _Writer:
    """One file: collects operator codes and buffers while the tables are described."""

    def __init__(self, model: Model, inline_limit: int) -> None:
        self.model = model
        self.codes: dict[tuple[str, str, int], int] = {}
        self.buffers: list[memoryview | bytes] = [b""]
        self._shared: dict[int, int] = {}
        self._tensors = [_all_tensors(graph, model.signatures, i) for i, graph in enumerate(model.graphs)]
        self._inline_limit = inline_limit

    def write(self) -> bytes:
        graphs = Vector([self._graph(i, graph) for i, graph in enumerate(self.model.graphs)])
        metadata = Vector([self._metadata(name, data) for name, data in self.model.metadata.items()])
        outlying = sum(map(len, self.buffers)) > self._inline_limit
        buffers = [_buffer_table(data, outlying) for data in self.buffers]
        cells: dict[int, Scalar | Object] = {
            0: Scalar("I", VERSION),
            1: Vector([_code_table(*key) for key in self.codes]),
            2: graphs,
            3: Text(self.model.description),
            4: Vector(buffers),
        }
        if metadata.items:
            cells[6] = metadata
        if self.model.signatures:
            cells[7] = Vector([self._signature(s) for s in self.model.signatures])
        emitter = Emitter(IDENTIFIER)
        out = emitter.write(Table(cells))
        if outlying:
            _append(emitter, buffers, self.buffers)
        return bytes(out)

    def _graph(self, index: int, graph: Graph) -> Table:
        tensors = self._tensors[index]
        where = {tensor: i for i, tensor in enumerate(tensors)}
        cells: dict[int, Scalar | Object] = {
            0: Vector([self._tensor(tensor, where) for tensor in tensors]),
            1: Numbers("i", [where[t] for t in graph.inputs]),
            2: Numbers("i", [where[t] for t in graph.outputs]),
            3: Vector([self._operator(node, where) for node in graph.nodes]),
            4: Text(graph.name),
        }
        return Table(cells)

    def _tensor(self, tensor: Tensor, where: Mapping[Tensor, int]) -> Table:
        cells: dict[int, Scalar | Object] = {
            0: Numbers("i", tensor.shape),
            1: Scalar("b", _DTYPE_CODES[tensor.dtype]),
            2: Scalar("I", self._buffer(tensor.data)),
            3: Text(tensor.name),
        }
        if tensor.quantization is not None:
            cells[4] = _quantization(tensor.quantization, where)
        if tensor.variable:
            cells[5] = Scalar("?", True)
        if tensor.sparsity is not None:
            cells[6] = _sparsity(tensor.sparsity)
        if tensor.signature is not None:
            cells[7] = Numbers("i", tensor.signature)
        if tensor.rank_known:
            cells[8] = Scalar("?", True)
        return Table(cells)

    def _operator(self, node: Node, where: Mapping[Tensor, int]) -> Table:
        key = (node.op, node.custom_code, node.version)
        cells: dict[int, Scalar | Object] = {
            0: Scalar("I", self.codes.setdefault(key, len(self.codes))),
            1: Numbers("i", [-1 if t is None else where[t] for t in node.inputs]),
            2: Numbers("i", [where[t] for t in node.outputs]),
            **options_cells(node),
        }
        if node.op == "custom":
            cells[5] = Blob(node.options)
        if node.intermediates:
            cells[8] = Numbers("i", [where[t] for t in node.intermediates])
        return Table(cells)

    def _buffer(self, data: memoryview | None) -> int:
        """The index of the buffer that holds `data`; 0, the empty one, for none."""
        if not data:
            return 0
        index = self._shared.setdefault(id(data), len(self.buffers))
        if index == len(self.buffers):
            self.buffers.append(data)
        return index

    def _metadata(self, name: str, data: memoryview) -> Table:
        return Table({0: Text(name), 1: Scalar("I", self._buffer(data))})

    def _signature(self, signature: Signature) -> Table:
        where = {tensor: i for i, tensor in enumerate(self._tensors[signature.graph])}
        maps = [
            Vector([Table({0: Text(name), 1: Scalar("I", where[t])}) for name, t in side.items()])
            for side in (signature.inputs, signature.outputs)
        ]
        return Table({0: maps[0], 1: maps[1], 2: Text(signature.name), 4: Scalar("I", signature.graph)})


def _all_tensors(graph: Graph, signatures: tuple[Signature, ...], index: int) -> list[Tensor]:
    """The tensors of a graph, and those that only its quantisations or signatures mention."""
    found = dict.fromkeys(graph.tensors)
    for tensor in graph.tensors:
        if tensor.quantization is not None:
            extra = (tensor.quantization.block_scales, tensor.quantization.block_zero_points)
            found.update(dict.fromkeys(t for t in extra if t is not None))
    for signature in signatures:
        if signature.graph == index:
            found.update(dict.fromkeys([*signature.inputs.values(), *signature.outputs.values()]))
    return list(found)


def _code_table(op: str, custom: str, version: int) -> Table:
    code = opcodes.code(op)
    cells: dict[int, Scalar | Object] = {
        0: Scalar("b", min(code, opcodes.PLACEHOLDER)),
        2: Scalar("i", version),
        3: Scalar("i", code),
    }
    if code == opcodes.CUSTOM:
        if not custom:
            raise ModelError("a custom op has no custom_code")
        cells[1] = Text(custom)
    return Table(cells)


def _buffer_table(data: memoryview | bytes, outlying: bool) -> Table:
    if outlying:
        return Table({1: Scalar("Q", 0), 2: Scalar("Q", 0)})
    return Table({0: Blob(data)} if data else {})


def _append(emitter: Emitter, tables: list[Table], buffers: list[memoryview | bytes]) -> None:
    """Puts the buffers behind the flatbuffer and their places into the tables (the first stays empty)."""
    for table, data in zip(tables[1:], buffers[1:], strict=True):
        emitter.pad(16)
        emitter.patch(table, 1, len(emitter.out))
        emitter.patch(table, 2, len(data))
        emitter.out += data


def _quantization(quantization: Quantization, where: Mapping[Tensor, int]) -> Table:
    if quantization.block_scales is None:
        return Table({
            2: Numbers("f", quantization.scales),
            3: Numbers("q", quantization.zero_points),
            6: Scalar("i", quantization.axis),
        })  # fmt: skip
    points = quantization.block_zero_points
    details = Table({
        0: Scalar("i", where[quantization.block_scales]),
        1: Scalar("i", -1 if points is None else where[points]),
        2: Scalar("i", quantization.block_size),
    })  # fmt: skip
    return Table({4: Scalar("B", _BLOCKWISE), 5: details, 6: Scalar("i", quantization.axis)})


def _sparsity(sparsity: Sparsity) -> Table:
    dims = [_dimension(size, indices) for size, indices in sparsity.dims]
    cells: dict[int, Scalar | Object] = {0: Numbers("i", sparsity.traversal), 2: Vector(dims)}
    if sparsity.block_map:
        cells[1] = Numbers("i", sparsity.block_map)
    return Table(cells)


def _dimension(size: int | Sequence[int], indices: Sequence[int] | None) -> Table:
    if isinstance(size, int):
        return Table({0: Scalar("b", 0), 1: Scalar("i", size)})
    assert indices is not None
    (kind, segments), (other, places) = _narrowest(size), _narrowest(indices)
    return Table({0: Scalar("b", 1), 2: kind, 3: segments, 4: other, 5: places})


def _narrowest(values: Sequence[int]) -> tuple[Scalar, Table]:
    """SparseIndexVector: the union's number and table of the narrowest type that holds the values."""
    most = max(values, default=0)
    number, code = (3, "B") if most < 1 << 8 else (2, "H") if most < 1 << 16 else (1, "i")
    return Scalar("B", number), Table({0: Numbers(code, values)})
