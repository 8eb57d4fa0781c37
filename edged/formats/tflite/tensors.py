"""The tensors of one subgraph: dtypes, shapes, quantisation, sparsity, and views of their constant bytes."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from struct import calcsize
from typing import Literal

from edged.errors import ModelError, UnsupportedError
from edged.formats.flatbuf import Table
from edged.formats.tflite.schema import DTYPES
from edged.formats.tflite.source import Source
from edged.graph.model import Quantization, Shape, Sparsity, Tensor

_TENSOR_COST = 300
_QUANTIZATION_COST = 250
_BLOCKWISE, _MULTI_AXIS = 2, 3
_SEGMENT_CODES: dict[int, Literal["i", "H", "B"]] = {1: "i", 2: "H", 3: "B"}
"""SparseIndexVector's union: Int32Vector, Uint16Vector, Uint8Vector."""


def read_tensors(source: Source, prefix: tuple[object, ...], graph: Table, filled: Set[int]) -> list[Tensor]:
    """Every tensor of a subgraph, by index. `filled` are those that an operator or the caller gives a value.

    Names are made unique: an empty one becomes `tensor_<index>`, the second `x` becomes `x#2`.
    """
    names = _Names()
    tensors: list[Tensor] = []
    blockwise: dict[int, Table] = {}
    for index, table in enumerate(graph.tables(0, _TENSOR_COST)):
        source.at(*prefix, "tensor", index)
        name = names.unique(table.text(3) or f"tensor_{index}")
        source.at(*prefix, "tensor", index, repr(name))
        quantization = table.table(4)
        source.buffer.charge(0, _QUANTIZATION_COST if quantization is not None else 0)
        tensors.append(_tensor(source, table, name, quantization, index in filled))
        if quantization is not None and quantization.number(4, "B") in (_BLOCKWISE, _MULTI_AXIS):
            blockwise[index] = quantization
    for index, table in blockwise.items():
        source.at(*prefix, "tensor", index, repr(tensors[index].name))
        tensors[index] = replace(tensors[index], quantization=_blockwise(table, tensors, blockwise.keys()))
    return tensors


def _tensor(source: Source, table: Table, name: str, quantization: Table | None, filled: bool) -> Tensor:
    code = table.number(1, "b")
    if not 0 <= code < len(DTYPES):
        raise UnsupportedError(f"element type {code} is not known here")
    if table.number(10, "I"):
        raise UnsupportedError("its data lies in another file", remedy="convert it with its weights inside")
    shape: Shape = table.numbers(0, "i")
    signature: Shape = table.numbers(7, "i")
    variable = table.number(5, "?", False)
    data = source.data(table.number(2, "I"))
    if data is None and not filled and not variable and 0 in shape:
        data = memoryview(b"")
    return Tensor(
        name=name,
        dtype=DTYPES[code],
        shape=shape,
        signature=signature if len(signature) == len(shape) and signature else None,
        quantization=_affine(quantization, shape) if quantization is not None else None,
        data=data,
        variable=variable,
        sparsity=_sparsity(table.table(6)),
        rank_known=bool(shape) or table.number(8, "?", False) or data is not None or not filled,
    )


def _affine(table: Table, shape: Shape) -> Quantization | None:
    """Scales and zero points. Where there is no choice of an axis, files name any; here it is 0."""
    scales = table.numbers(2, "f")
    if not scales:
        return None
    zero_points = table.numbers(3, "q")
    if len(zero_points) not in (1, len(scales)):
        raise ModelError(f"{len(scales)} scales, but {len(zero_points)} zero points")
    axis = table.number(6, "i")
    choice = len(scales) > 1 and len(shape) > 1
    return Quantization(scales, zero_points, axis if choice or 0 <= axis < len(shape) else 0)


def _blockwise(table: Table, tensors: list[Tensor], blockwise: Set[int]) -> Quantization:
    """Blockwise quantisation: scales (and zero points, -1: none) are tensors of the same subgraph."""
    details = table.table(5)
    if details is None:
        raise ModelError("blockwise quantisation has no details")
    axis = table.number(6, "i")
    if table.number(4, "B") == _MULTI_AXIS:
        axes = details.numbers(3, "i")
        if len(axes) != 1:
            raise UnsupportedError(f"quantisation along {len(axes)} axes at once")
        axis = axes[0]
        if not details.number(2, "i"):
            raise UnsupportedError("per-channel quantisation whose scales are a tensor")
    scales, zero_points = details.number(0, "i"), details.number(1, "i")
    for what, index in (("scales", scales), ("zero points", zero_points)):
        if index >= len(tensors) or index < (0 if what == "scales" else -1) or index in blockwise:
            raise ModelError(f"blockwise {what}: tensor {index} is out of range, or blockwise itself")
    points = tensors[zero_points] if zero_points > 0 else None
    return Quantization((), (), axis, details.number(2, "i"), tensors[scales], points)


def _sparsity(table: Table | None) -> Sparsity | None:
    if table is None:
        return None
    dims = tuple(_dimension(dim) for dim in table.tables(2, _TENSOR_COST))
    return Sparsity(table.numbers(0, "i"), table.numbers(1, "i"), dims)


def _dimension(table: Table) -> tuple[int, None] | tuple[Sequence[int], Sequence[int]]:
    if table.number(0, "b") == 0:
        return table.number(1, "i"), None
    return _segment(table, 2), _segment(table, 4)


def _segment(table: Table, slot: int) -> Sequence[int]:
    """Segments or indices, uncopied: a large sparse constant has millions."""
    code = _SEGMENT_CODES.get(table.number(slot, "B"))
    values = table.table(slot + 1)
    if code is None or values is None:
        raise ModelError("a sparse dimension has no segments or indices")
    return values.view(0, calcsize(code)).cast(code)


class _Names:
    """Names that are handed out once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def unique(self, name: str) -> str:
        found = name
        while found in self._taken:
            self._next[name] = self._next.get(name, 1) + 1
            found = f"{name}#{self._next[name]}"
        self._taken.add(found)
        return found
