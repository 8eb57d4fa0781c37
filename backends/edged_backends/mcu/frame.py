"""Frames on the serial line: COBS against zero bytes, CRC-32 against damage. Pure.

A frame is COBS(content + CRC-32 of the content, little-endian) and a zero byte. Source of COBS: S. Cheshire,
M. Baker, Consistent Overhead Byte Stuffing (1999); of the CRC: IEEE 802.3, as zlib computes it. The firmware
reads the same (runtime/frame.c).
"""

from __future__ import annotations

from zlib import crc32


def stuff(data: bytes) -> bytes:
    """COBS: no zero byte in the result; at most one byte more per 254."""
    out = bytearray()
    for block in data.split(b"\0"):
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
        out.append(len(block) + 1)
        out += block
    return bytes(out)


def unstuff(data: bytes) -> bytes | None:
    """What `stuff` was given; None where it cannot have made `data`."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        if code == 0 or at + code > len(data):
            return None
        out += data[at + 1 : at + code]
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame(content: bytes) -> bytes:
    """`content` as it goes over the line."""
    return stuff(content + crc32(content).to_bytes(4, "little")) + b"\0"


class Frames:
    """Bytes in, contents out. What is damaged is counted and skipped; nothing longer than `max_bytes` is
    kept."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.damaged = 0
        self._held = bytearray()
        self._skipping = False

    def receive(self, data: bytes) -> list[bytes]:
        """The contents of the frames that end in `data`. Never raises for a peer's bytes."""
        found = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._hold(piece)
            content = self._end()
            if content is not None:
                found.append(content)
        self._hold(rest)
        return found

    def _hold(self, piece: bytes) -> None:
        if self._skipping or len(self._held) + len(piece) > self.max_bytes:
            self._skipping = True
            self._held.clear()
        else:
            self._held += piece

    def _end(self) -> bytes | None:
        held, skipping = bytes(self._held), self._skipping
        self._held.clear()
        self._skipping = False
        if not held and not skipping:
            return None  # a zero byte alone: what a sender begins with, to end a frame that was cut off
        content = None if skipping else unstuff(held)
        if content is None or len(content) < 4:
            self.damaged += 1
            return None
        if crc32(content[:-4]).to_bytes(4, "little") != content[-4:]:
            self.damaged += 1
            return None
        return content[:-4]
