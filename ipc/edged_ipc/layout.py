"""Where tensors lie in a slot: inputs, then outputs, each at a multiple of 64 bytes. Both sides use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGN = 64


@dataclass(frozen=True, slots=True)
class SlotLayout:
    """Byte offset of every tensor, and the size of one slot."""

    offsets: tuple[int, ...]
    size: int


def slot_layout(sizes: Sequence[int]) -> SlotLayout:
    """The layout of tensors of `sizes` bytes."""
    offsets, at = [], 0
    for size in sizes:
        offsets.append(at)
        at += -(-size // ALIGN) * ALIGN
    return SlotLayout(tuple(offsets), at)
