"""Writes a flatbuffer front to back: every object before the ones it points to. Knows no schema.

A table is {slot: cell}; a cell is a scalar or a child object. The order of the bytes depends on the objects
alone: the same objects give the same file. Format: flatbuffers.dev/internals (tables, vtables, vectors,
strings).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_ZEROS = bytes(64)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number inside a table; `code` is its struct letter."""

    code: str
    value: Any


@dataclass(frozen=True, slots=True)
class Text:
    """A string: UTF-8, with a length and a closing NUL."""

    value: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """A vector of numbers; `code` is the struct letter of one."""

    code: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Blob:
    """A vector of bytes whose first byte lies on a multiple of `align`."""

    data: memoryview | bytes
    align: int = 16


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector of tables or strings."""

    items: Sequence[Object]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; empty slots are left out."""

    cells: dict[int, Scalar | Object]


Object = Text | Numbers | Blob | Vector | Table


class Emitter:
    """One flatbuffer while it is written."""

    def __init__(self, identifier: bytes) -> None:
        self.out = bytearray(4) + identifier
        self._cells: dict[tuple[int, int], int] = {}
        self._vtables: dict[bytes, int] = {}
        self._todo: deque[tuple[int, Object]] = deque()

    def write(self, root: Table) -> bytearray:
        """The whole buffer of a root table."""
        self._todo.append((0, root))
        while self._todo:
            slot, item = self._todo.popleft()
            position = self._put(item)
            struct.pack_into("<I", self.out, slot, position - slot)
        return self.out

    def pad(self, align: int, ahead: int = 0) -> None:
        """Pads with zeros until the position `ahead` bytes further on is a multiple of `align`."""
        self.out += _ZEROS[: -(len(self.out) + ahead) % align]

    def patch(self, table: Table, slot: int, value: int) -> None:
        """Overwrites a 64-bit field of a table that is written already (places are known only afterwards)."""
        struct.pack_into("<Q", self.out, self._cells[id(table), slot], value)

    def _put(self, item: Object) -> int:
        match item:
            case Table():
                return self._table(item)
            case Vector():
                position = self._length(len(item.items), 4)
                self.out += bytes(4 * len(item.items))
                self._todo.extend((position + 4 + 4 * i, child) for i, child in enumerate(item.items))
                return position
            case Text():
                text = item.value.encode("utf-8", "replace")
                position = self._length(len(text), 1)
                self.out += text + b"\0"
                return position
            case Numbers():
                position = self._length(len(item.values), struct.calcsize(item.code))
                self.out += struct.pack(f"<{len(item.values)}{item.code}", *item.values)
                return position
            case Blob():
                position = self._length(len(item.data), item.align)
                self.out += item.data
                return position

    def _length(self, count: int, align: int) -> int:
        """A vector's count, placed so that its elements are aligned."""
        self.pad(max(4, align), ahead=4)
        position = len(self.out)
        self.out += struct.pack("<I", count)
        return position

    def _table(self, table: Table) -> int:
        offsets, size, align = _layout(table)
        vtable = struct.pack(f"<{2 + len(offsets)}H", 4 + 2 * len(offsets), size, *offsets)
        at = self._vtables.get(vtable)
        if at is None:
            self.pad(2)
            at = self._vtables[vtable] = len(self.out)
            self.out += vtable
        self.pad(align)
        position = len(self.out)
        self.out += bytes(size)
        struct.pack_into("<i", self.out, position, position - at)
        for slot, cell in table.cells.items():
            place = position + offsets[slot]
            if isinstance(cell, Scalar):
                struct.pack_into(f"<{cell.code}", self.out, place, cell.value)
                if cell.code == "Q":
                    self._cells[id(table), slot] = place
            else:
                self._todo.append((place, cell))
        return position


def _layout(table: Table) -> tuple[list[int], int, int]:
    """Offsets of the slots (0: empty), the table's size and alignment; the widest fields come first."""
    widths = {
        slot: struct.calcsize("<" + cell.code) if isinstance(cell, Scalar) else 4
        for slot, cell in table.cells.items()
    }
    offsets = [0] * (max(widths, default=-1) + 1)
    align = max([4, *widths.values()])
    end = align
    for slot in sorted(widths, key=lambda s: (-widths[s], s)):
        offsets[slot] = end
        end += widths[slot]
    return offsets, end, align
