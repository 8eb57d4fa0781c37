"""A bounded, zero-copy cursor over a flatbuffer: knows no schema; each position is checked before it is read.

Hostile bytes: vectors and tables may be aliased, so that a small file describes something huge. Two budgets
stop that: `read` counts file bytes walked over (a file in which nothing is shared needs at most its size),
`hold` the bytes that the decoded Python objects are expected to keep. Errors are ModelErrors that name the
byte; the caller adds what was being read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from edged.errors import ModelError

_READ_FACTOR, _READ_FLOOR = 4, 1 << 16
_HOLD_FACTOR, _HOLD_FLOOR = 2, 48 << 20
_SLOTS = 64
_UNPACK = {code: struct.Struct("<" + code).unpack_from for code in "?bBhHiIqQfd"}
_WIDTH = {code: struct.calcsize("<" + code) for code in _UNPACK}
_NUMBER_COST = 36
_VTABLE_COST = 200

_int32 = _UNPACK["i"]
_uint32 = _UNPACK["I"]


class Buffer:
    """The bytes of one flatbuffer, with what is left of the budgets."""

    __slots__ = ("_hold", "_read", "_vtables", "data", "size")

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.size = len(data)
        self._read = _READ_FACTOR * self.size + _READ_FLOOR
        self._hold = _HOLD_FACTOR * self.size + _HOLD_FLOOR
        self._vtables: dict[int, tuple[int, tuple[int, ...]]] = {}

    def charge(self, read: int, hold: int) -> None:
        """Takes from the budgets. ModelError when the file describes more than its size allows."""
        self._read -= read
        self._hold -= hold
        if self._read < 0 or self._hold < 0:
            raise ModelError(f"describes more than a file of {self.size} bytes can hold")

    def root(self) -> Table:
        return self.table(self.follow(0))

    def follow(self, at: int) -> int:
        """The position that the offset stored at `at` points to."""
        try:
            (relative,) = _uint32(self.data, at)
        except struct.error:
            raise self.outside("an offset", at) from None
        target: int = at + relative
        if not relative or target >= self.size:
            raise self.outside("an offset's target", target)
        return target

    def table(self, at: int) -> Table:
        """The table at `at`, its vtable checked."""
        self.charge(8, 0)
        try:
            (back,) = _int32(self.data, at)
        except struct.error:
            raise self.outside("a table", at) from None
        vtable: int = at - back
        known = self._vtables.get(vtable)
        if known is None:
            known = self._vtables[vtable] = self._vtable(vtable)
        size, fields = known
        if at + size > self.size:
            raise self.outside(f"a table of {size} bytes", at)
        return Table(self, at, fields)

    def outside(self, what: str, at: int) -> ModelError:
        return ModelError(f"{what} at byte {at} lies outside the file of {self.size} bytes")

    def _vtable(self, at: int) -> tuple[int, tuple[int, ...]]:
        if at < 0 or at + 4 > self.size:
            raise self.outside("a vtable", at)
        length, size = struct.unpack_from("<HH", self.data, at)
        if length < 4 or length % 2 or at + length > self.size or size < 4:
            raise ModelError(f"the vtable at byte {at} is broken (length {length}, table size {size})")
        slots = min(length // 2 - 2, _SLOTS)
        self.charge(0, _VTABLE_COST + slots * _NUMBER_COST)
        return size, struct.unpack_from(f"<{slots}H", self.data, at + 4)


class Table:
    """One table: fields by slot number. An absent field gives its default."""

    __slots__ = ("at", "buffer", "fields")

    def __init__(self, buffer: Buffer, at: int, fields: tuple[int, ...]) -> None:
        self.buffer = buffer
        self.at = at
        self.fields = fields

    def place(self, slot: int) -> int:
        """Where a field lies; 0 when it is absent."""
        fields = self.fields
        offset = fields[slot] if slot < len(fields) else 0
        return self.at + offset if offset else 0

    def number(self, slot: int, code: str, default: Any = 0) -> Any:
        """A scalar by its struct letter."""
        place = self.place(slot)
        if not place:
            return default
        try:
            return _UNPACK[code](self.buffer.data, place)[0]
        except struct.error:
            raise self.buffer.outside("a field", place) from None

    def table(self, slot: int) -> Table | None:
        place = self.place(slot)
        return self.buffer.table(self.buffer.follow(place)) if place else None

    def vector(self, slot: int, width: int) -> tuple[int, int]:
        """Position of the first element and count of a vector of `width`-byte elements; (0, 0): absent."""
        place = self.place(slot)
        if not place:
            return 0, 0
        at = self.buffer.follow(place)
        try:
            (count,) = _uint32(self.buffer.data, at)
        except struct.error:
            raise self.buffer.outside("a vector", at) from None
        if at + 4 + count * width > self.buffer.size:
            raise self.buffer.outside(f"a vector of {count} elements", at)
        return at + 4, count

    def numbers(self, slot: int, code: str) -> tuple[Any, ...]:
        """A vector of scalars by their struct letter, as a tuple."""
        at, count = self.vector(slot, _WIDTH[code])
        if not count:
            return ()
        self.buffer.charge(count * _WIDTH[code], count * _NUMBER_COST)
        return struct.unpack_from(f"<{count}{code}", self.buffer.data, at)

    def view(self, slot: int, width: int = 1) -> memoryview:
        """The bytes of a vector, uncopied; empty when it is absent."""
        at, count = self.vector(slot, width)
        return self.buffer.data[at : at + count * width]

    def text(self, slot: int) -> str:
        """A string; bytes that are not UTF-8 are replaced."""
        at, count = self.vector(slot, 1)
        self.buffer.charge(count, 4 * count)
        return str(self.buffer.data[at : at + count], "utf-8", "replace")

    def tables(self, slot: int, hold: int = 0) -> Iterator[Table]:
        """The tables of a vector one by one, each charged `hold` bytes beside its own cost."""
        at, count = self.vector(slot, 4)
        self.buffer.charge(4 * count, hold * count)
        return (self.buffer.table(self.buffer.follow(place)) for place in range(at, at + 4 * count, 4))

    def item(self, slot: int, index: int) -> Table | None:
        """One table of a vector; None when the index is beyond its end."""
        at, count = self.vector(slot, 4)
        return self.buffer.table(self.buffer.follow(at + 4 * index)) if index < count else None
