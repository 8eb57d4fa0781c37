"""A linked ELF file as the flat bytes that are loaded at one address. Pure: bytes in, bytes out.

Source of the format: System V ABI, chapters "Object Files" and "Program Loading" (32-bit, little-endian).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from edged.errors import BackendError

HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
SEGMENT = struct.Struct("<8I")
LOAD = 1


@dataclass(frozen=True, slots=True)
class Flat:
    """What is loaded: bytes from `address` on, gaps filled with 0xFF as erased flash is."""

    address: int
    data: bytes


def flat(elf: bytes, max_bytes: int = 1 << 24) -> Flat:
    """The loadable contents of an executable, by physical address. BackendError for anything else, or for
    contents that are spread over more than `max_bytes`."""
    if len(elf) < HEADER.size or elf[:6] != b"\x7fELF\x01\x01":
        raise BackendError("not a 32-bit little-endian ELF file")
    header = HEADER.unpack_from(elf)
    start, size, count = header[5], header[9], header[10]
    pieces = []
    for i in range(count):
        at = start + i * size
        if at + SEGMENT.size > len(elf):
            raise BackendError("the ELF file is cut off in its program headers")
        kind, offset, _, address, held, _, _, _ = SEGMENT.unpack_from(elf, at)
        if kind != LOAD or not held:
            continue
        if offset + held > len(elf):
            raise BackendError("the ELF file is cut off in a segment")
        pieces.append((address, elf[offset : offset + held]))
    if not pieces:
        raise BackendError("the ELF file has nothing to load")
    return _joined(sorted(pieces), max_bytes)


def _joined(pieces: list[tuple[int, bytes]], max_bytes: int) -> Flat:
    base = pieces[0][0]
    end = max(address + len(data) for address, data in pieces)
    if end - base > max_bytes:
        raise BackendError(f"the ELF file is spread over {end - base} bytes, at most {max_bytes} are taken")
    out = bytearray(b"\xff" * (end - base))
    for address, data in pieces:
        out[address - base : address - base + len(data)] = data
    return Flat(base, bytes(out))
