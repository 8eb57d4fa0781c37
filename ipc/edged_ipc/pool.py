"""The client's slots of one model: which are free, the memory they lie in, and arrays on it.

No I/O but making memory; who tells the daemon about it (Attach) is the client's part.
"""

from __future__ import annotations

import mmap
import os
from typing import TYPE_CHECKING, Any

from edged_ipc import shm

if TYPE_CHECKING:
    from edged_ipc.tensors import Form


class PoolSlot:
    """One slot: its number in the session, and arrays on its memory."""

    __slots__ = ("inputs", "memory", "number", "outputs")

    def __init__(self, number: int, memory: memoryview, form: Form) -> None:
        self.number = number
        self.memory = memory
        self.inputs: list[Any]
        self.outputs: list[Any]
        self.inputs, self.outputs = form.views(memory)


class Block:
    """One piece of memory with several slots: a sealed memfd, or the client's own memory when `fd` is -1."""

    fd = -1

    def __init__(self, slots: int, slot_bytes: int, inline: bool) -> None:
        self.slots = slots
        self.nbytes = slots * slot_bytes
        self.fd = -1 if inline else shm.create(self.nbytes)
        self.memory = (
            mmap.mmap(-1, self.nbytes, mmap.MAP_PRIVATE) if inline else shm.map_own(self.fd, self.nbytes)
        )

    def close(self) -> None:
        """Closes the descriptor; the memory goes with the last array on it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()  # of a session that nobody closed


class SlotPool:
    """All slots of a session, numbered through. `free` are the ones that nobody holds."""

    def __init__(self, form: Form, slot_bytes: int, inline: bool) -> None:
        self.form = form
        self.slot_bytes = slot_bytes
        self.inline = inline
        self.blocks: list[Block] = []
        self.free: list[PoolSlot] = []
        self.count = 0

    def grow(self, slots: int) -> Block:
        """Makes memory for more slots. It is not one of `blocks` before the daemon has taken it, since its
        slots count from there on, on both sides."""
        return Block(slots, self.slot_bytes, self.inline)

    def slots_of(self, block: Block) -> list[PoolSlot]:
        """The slots of a block that the daemon has taken, numbered on."""
        self.blocks.append(block)
        views = shm.cut(block.memory, self.slot_bytes, block.slots)
        made = [PoolSlot(self.count + i, view, self.form) for i, view in enumerate(views)]
        self.count += block.slots
        return made

    def abandon(self) -> None:
        """In a forked process: the slots are the parent's."""
        if not self.inline:
            self.close()
            self.blocks.clear()
            self.count = 0

    def close(self) -> None:
        for block in self.blocks:
            block.close()
        self.free.clear()
