"""Flexbuffer maps of scalars: the options of custom ops. Bounded; anything but a map of numbers, booleans and
strings is refused.

Source of the format: FlexBuffers, "Schema-less version of FlatBuffers"
(google.github.io/flatbuffers/flexbuffers).
"""

from __future__ import annotations

import struct

from edged.errors import ModelError

Scalar = bool | int | float | str
_INTS, _UINTS, _FLOATS = (
    {1: "<b", 2: "<h", 4: "<i", 8: "<q"},
    {1: "<B", 2: "<H", 4: "<I", 8: "<Q"},
    {2: "<e", 4: "<f", 8: "<d"},
)
_INT, _UINT, _FLOAT, _KEY, _STRING, _INDIRECT_INT, _INDIRECT_UINT, _INDIRECT_FLOAT, _MAP, _BOOL = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    26,
)


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def number(self, formats: dict[int, str], at: int, width: int) -> int | float:
        if width not in formats or at < 0 or at + width > len(self.raw):
            raise ModelError(
                f"custom options: a value of {width} bytes at {at} is outside the {len(self.raw)} bytes"
            )
        (value,) = struct.unpack_from(formats[width], self.raw, at)
        found: int | float = value
        return found

    def uint(self, at: int, width: int) -> int:
        return int(self.number(_UINTS, at, width))

    def text(self, at: int) -> str:
        end = self.raw.find(b"\0", at)
        if at < 0 or end < 0:
            raise ModelError("custom options: a key without an end")
        return self.raw[at:end].decode("utf-8", "replace")

    def scalar(self, at: int, width: int, packed: int) -> Scalar | None:
        """The value at `at` of parent width `width`; `packed` is its type and, for what is elsewhere, its
        width."""
        kind, inner = packed >> 2, 1 << (packed & 3)
        if kind == _INT:
            return self.number(_INTS, at, width)
        if kind in (_UINT, _BOOL):
            value = self.uint(at, width)
            return bool(value) if kind == _BOOL else value
        if kind == _FLOAT:
            return self.number(_FLOATS, at, width)
        place = at - self.uint(at, width)
        if kind in (_INDIRECT_INT, _INDIRECT_UINT, _INDIRECT_FLOAT):
            formats = {_INDIRECT_INT: _INTS, _INDIRECT_UINT: _UINTS, _INDIRECT_FLOAT: _FLOATS}[kind]
            return self.number(formats, place, inner)
        if kind == _KEY:
            return self.text(place)
        if kind == _STRING:
            size = self.uint(place - inner, inner)
            return self.raw[place : place + size].decode("utf-8", "replace")
        return None  # a vector or a map: nobody here needs one


def read_map(raw: bytes) -> dict[str, Scalar]:
    """Key -> value of a flexbuffer whose root is a map; nested containers are left out. ModelError when it is
    not one."""
    reader = _Reader(bytes(raw))
    if len(raw) < 3:
        raise ModelError("custom options: too short for a flexbuffer")
    width, packed = raw[-1], raw[-2]
    if packed >> 2 != _MAP or width not in _UINTS:
        raise ModelError("custom options: not a flexbuffer map")
    root = len(raw) - 2 - width
    values = root - reader.uint(root, width)
    size_width = 1 << (packed & 3)
    count = reader.uint(values - size_width, size_width)
    keys_at = values - 3 * size_width
    keys = keys_at - reader.uint(keys_at, size_width)
    key_width = reader.uint(values - 2 * size_width, size_width)
    if count * (size_width + 1) > len(raw):
        raise ModelError(f"custom options: {count} entries do not fit {len(raw)} bytes")
    found: dict[str, Scalar] = {}
    for i in range(count):
        place = keys + i * key_width
        name = reader.text(place - reader.uint(place, key_width))
        kind = reader.uint(values + count * size_width + i, 1)
        value = reader.scalar(values + i * size_width, size_width, kind)
        if value is not None:
            found[name] = value
    return found
