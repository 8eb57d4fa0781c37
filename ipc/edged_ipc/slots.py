"""A session as the server sees it: its slots, what is under way on each, and the memory they lie in.

At most one request is under way per slot, so its state is two entries of two lists. Memory stays mapped until
every request on it has been answered, whatever the client does meanwhile.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edged_ipc import shm
from edged_ipc.errors import LocalProtocolError
from edged_ipc.layout import slot_layout
from edged_ipc.messages import Done, DoneInline, Failed, Message, TensorSpec
from edged_ipc.quota import Account

Answer = Callable[[Message], None]


def placed(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], int]:
    """The same tensors with their offsets, and the bytes of one slot (64 for a model without any tensor)."""
    layout = slot_layout([t.nbytes for t in (*inputs, *outputs)])
    moved = tuple(
        TensorSpec(t.name, t.dtype, t.shape, t.nbytes, at, t.scales, t.zero_points, t.axis)
        for t, at in zip((*inputs, *outputs), layout.offsets, strict=True)
    )
    return moved[: len(inputs)], moved[len(inputs) :], max(layout.size, 64)


class SlotTable:
    """Implements `edged_ipc.service.Replies` for one session."""

    __slots__ = (
        "_account", "_answer", "_maps", "_settled", "ack", "closing", "handle", "id", "inline", "input_bytes",
        "memory_bytes", "model", "requests", "slot_bytes", "slots", "tickets",
    )  # fmt: skip

    def __init__(
        self,
        id: int,
        model: str,
        inline: bool,
        account: Account,
        answer: Answer,
        settled: Callable[[SlotTable], None],
    ) -> None:
        self.id = id
        self.model = model
        self.inline = inline
        self.handle: Any = None
        self.slot_bytes = 0
        self.input_bytes = 0
        self.memory_bytes = 0
        self.slots: list[memoryview] = []
        self.requests: list[int] = []
        self.tickets: list[Any] = []
        self.closing = False
        self.ack = 0
        self._maps: list[mmap.mmap] = []
        self._account = account
        self._answer = answer
        self._settled = settled

    def add(self, memory: mmap.mmap, count: int) -> list[memoryview]:
        """`count` further slots that lie in `memory`."""
        views = shm.cut(memory, self.slot_bytes, count)
        self._maps.append(memory)
        self.slots += views
        self.requests += [0] * count
        self.tickets += [None] * count
        self.memory_bytes += count * self.slot_bytes
        return views

    @property
    def busy(self) -> bool:
        """Some request is under way."""
        return any(self.requests)

    def done(self, slot: int, queue_us: int, run_us: int, version: int) -> None:
        request = self._request(slot)
        if self.inline:
            payload = self.slots[slot][self.input_bytes :]
            message: Message = DoneInline(request, queue_us, run_us, version, payload)
        else:
            message = Done(request, queue_us, run_us, version)
        self._end(slot, message)

    def failed(self, slot: int, code: int, message: str, remedy: str = "") -> None:
        self._end(slot, Failed(self._request(slot), int(code), message, remedy))

    def _request(self, slot: int) -> int:
        request = self.requests[slot]
        if not request:
            raise LocalProtocolError(f"slot {slot} was answered twice, or never asked for")
        return request

    def _end(self, slot: int, message: Message) -> None:
        """Frees the slot first: the client may use it again as soon as it has read the answer."""
        self.requests[slot] = 0
        self.tickets[slot] = None
        self._account.end()
        self._answer(message)
        if self.closing:
            self._settled(self)

    def release(self) -> None:
        """Unmaps; memory that somebody still has a view of is unmapped with the last view."""
        self.slots.clear()
        for memory in self._maps:
            with suppress(BufferError):
                memory.close()
        self._maps.clear()
