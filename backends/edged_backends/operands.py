"""Operands of a program's steps while it is being planned: values without an address yet, and references
into them.

A Value is a stretch of memory in one of a program's spaces. Its place inside the arena is decided last,
when all lifetimes are known; steps therefore hold Refs, which become (space, index, offset) only when the
program is packed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Space(IntEnum):
    """Where an operand's bytes are. The numbers are those of the C extension (ext/run.c)."""

    NONE = 0
    ARENA = 1
    CONSTANT = 2
    VARIABLE = 3
    INPUT = 4
    OUTPUT = 5
    BLOCK = 6  # between the two kernels of a pair: a block of it in scratch, nothing in memory


@dataclass(eq=False, slots=True)
class Value:
    """`nbytes` of memory; `index` says which constant block, input or output it is, or the byte offset of
    a variable.

    An ARENA value may still be bound to a graph output, whose buffer then takes its place, or be placed
    inside another value (`parent`), of which it is then a part from the start.
    """

    space: Space
    nbytes: int
    index: int = 0
    name: str = ""
    parent: Ref | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """One operand of a step: `nbytes` at `offset` of `value`."""

    value: Value
    offset: int
    nbytes: int

    def at(self, offset: int, nbytes: int | None = None) -> Ref:
        """A part of this operand, `offset` bytes into it; to its end when `nbytes` is None."""
        size = self.nbytes - offset if nbytes is None else nbytes
        if offset < 0 or size < 0 or offset + size > self.nbytes:
            raise ValueError(f"bytes {offset}..{offset + size} of an operand of {self.nbytes}")
        return Ref(self.value, self.offset + offset, size)


def anchor(ref: Ref) -> Ref:
    """The same bytes as a part of the outermost value that holds them."""
    while ref.value.parent is not None:
        ref = Ref(ref.value.parent.value, ref.value.parent.offset + ref.offset, ref.nbytes)
    return ref
