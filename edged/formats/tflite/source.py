"""What the readers of one file share: its root table, its buffers, and the place an error message names."""

from __future__ import annotations

from dataclasses import dataclass

from edged.errors import ModelError
from edged.formats.flatbuf import Buffer, Table

_VIEW_COST = 300


@dataclass(frozen=True, slots=True)
class OpCode:
    """An entry of the file's operator codes."""

    op: str
    custom: str
    version: int

    @property
    def title(self) -> str:
        """The name for messages: `CONV_2D`, `CUSTOM:ethos-u`."""
        return f"CUSTOM:{self.custom}" if self.custom else self.op.upper()


class Source:
    """One .tflite file while it is read."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer
        self.codes: tuple[OpCode, ...] = ()
        self._place: tuple[object, ...] = ()
        self._data: dict[int, memoryview | None] = {}
        self.root = buffer.root()

    def at(self, *place: object) -> None:
        """Remembers what is being read."""
        self._place = place

    def place(self) -> str:
        return " ".join(map(str, self._place))

    def data(self, index: int) -> memoryview | None:
        """The bytes of a buffer of the file; None when it holds none. The same view for the same buffer.

        Buffer 0 is the one that tensors without data name; its content, if any, does not count.
        """
        if index not in self._data:
            table = self.root.item(4, index)
            if table is None:
                raise ModelError(f"buffer {index} out of range (the file has {self.root.vector(4, 4)[1]})")
            self.buffer.charge(0, _VIEW_COST)
            self._data[index] = self._bytes(table) if index else None
        return self._data[index]

    def outlying(self, offset: int, size: int) -> memoryview:
        """Bytes outside the flatbuffer, as files beyond 2 GB have them, by their place in the file."""
        if offset + size > self.buffer.size:
            raise self.buffer.outside(f"data of {size} bytes", offset)
        return self.buffer.data[offset : offset + size]

    def _bytes(self, table: Table) -> memoryview | None:
        view = table.view(0)
        if not view:
            offset = table.number(1, "Q")
            view = self.outlying(offset, table.number(2, "Q")) if offset > 1 else view
        return view if view else None
