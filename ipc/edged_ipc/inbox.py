"""Bytes of a peer that have not been understood yet: one buffer, written at its end and read from its front.

No I/O: whoever reads a socket asks for `room` and says how much of it was filled. A buffer that one large
frame needed is kept for the next, within reason.
"""

from __future__ import annotations

SMALL = 1 << 14
KEPT = 1 << 22


class Inbox:
    """`data[begin:end]` is what has not been taken; whoever takes it raises `begin`."""

    __slots__ = ("_view", "begin", "data", "end")

    def __init__(self) -> None:
        self.data = bytearray(SMALL)
        self._view = memoryview(self.data)
        self.begin = 0
        self.end = 0

    def __len__(self) -> int:
        return self.end - self.begin

    def room(self, count: int) -> memoryview:
        """`count` bytes to write to, behind what is there; good until the next call. `end` is raised by
        what was written."""
        if self.begin == self.end:
            self.begin = self.end = 0
            if count <= SMALL and len(self.data) > KEPT:
                self._move(SMALL)
        if self.end + count > len(self.data):
            have = self.end - self.begin
            self._move(len(self.data) if have + count <= len(self.data) else have + count)
        return self._view[self.end : self.end + count]

    def _move(self, size: int) -> None:
        """What is there, to the front of a buffer of `size` bytes."""
        have = bytes(self._view[self.begin : self.end])
        if size != len(self.data):
            self.data = bytearray(size)
            self._view = memoryview(self.data)
        self._view[: len(have)] = have
        self.begin, self.end = 0, len(have)

    def clear(self) -> None:
        self.begin = self.end = 0
