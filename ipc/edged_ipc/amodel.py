"""An open model for asyncio; see `edged_ipc.model` for the blocking one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from edged_ipc import messages as m
from edged_ipc.achannel import AsyncChannel
from edged_ipc.errors import (
    IpcError,
    NotConnectedError,
    ShuttingDownError,
    UnknownOutcomeError,
)
from edged_ipc.model import OPENINGS
from edged_ipc.opened import OpenedModel
from edged_ipc.pool import Block, PoolSlot
from edged_ipc.tensors import Outputs

if TYPE_CHECKING:
    from edged_ipc.aclient import AsyncClient


class AsyncModel(OpenedModel):
    """A session on a model. Awaiting a call runs it; as many as wanted at a time."""

    def __init__(self, client: AsyncClient, name: str, slots: int, priority: int | None) -> None:
        super().__init__(name, slots, client.inline, priority)
        self._client = client
        self._lock = asyncio.Lock()
        self._channel: AsyncChannel | None = None
        self._closed = False

    async def __call__(
        self, inputs: Any, *, priority: int | None = None, deadline: float | None = None
    ) -> Outputs:
        """Runs the model; inputs as for `edged_ipc.model.Model`. Cancelling the task cancels the request."""
        if self._channel is None or self._channel.dead is not None:
            await self.connect()
        slot = self.pool.free.pop() if self.pool.free else await self._take()
        try:
            self.form.fill(slot.inputs, inputs)
        except BaseException:
            self.free(slot)
            raise
        try:
            message = await self._run(slot, priority, deadline)
        except (NotConnectedError, ShuttingDownError):  # known not to have been run
            message = await self._run(slot, priority, deadline, last=True)
        outputs = self.collect(slot, message, copy=True)
        self.free(slot)
        return outputs

    async def _run(
        self, slot: PoolSlot, priority: int | None, deadline: float | None, last: bool = False
    ) -> Any:
        """The answer to a request on a filled slot. When there is none, the slot is given back; but not when
        the request may be sent again, unless this is the `last` time."""
        try:
            channel = self._channel
            if channel is None or channel.dead is not None:
                channel = await self.connect()
        except BaseException:
            self.free(slot)
            raise
        request, session = channel.next_id(), self.session
        message = self.infer_message(request, slot, priority, deadline)
        future = channel.post(message, late=partial(self._ended, slot))
        try:
            return await future
        except asyncio.CancelledError:
            if future.cancelled():  # the slot comes back with the late answer
                channel.tell(m.Cancel(request, session, slot.number))
            else:
                self._ended(slot, future.exception())
            raise
        except (NotConnectedError, ShuttingDownError) as error:
            if last:
                self._ended(slot, error)
            raise
        except IpcError as error:
            self._ended(slot, error)
            raise

    def _ended(self, slot: PoolSlot, error: BaseException | None) -> None:
        """A request has ended, and nobody takes its outputs."""
        self.give_back(slot, error if isinstance(error, IpcError) else None, self._client.boot)

    async def reset(self) -> None:
        """Puts the variables of a streaming model back to their initial values."""
        channel = await self.connect()
        await channel.post(m.Reset(channel.next_id(), self.session))

    async def close(self) -> None:
        """Ends the session; requests under way are cancelled."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None and channel.dead is None:
            with suppress(IpcError):  # it has ended with its connection
                await channel.post(m.Close(channel.next_id(), self.session))
        self.pool.close()

    async def _take(self) -> PoolSlot:
        """A free slot; makes more when there is none."""
        channel = await self.connect()
        async with self._lock:
            self.untaint(self._client.boot)
            while not self.pool.free:
                await self._add(channel, self.more(channel.welcome.limits))
            return self.pool.free.pop()

    async def connect(self) -> AsyncChannel:
        """The connection that the session is open on; after a restart of the daemon, a new one."""
        if self._closed:
            raise NotConnectedError(f"model {self.name!r} was closed", remedy="open it again")
        if self._channel is not None and self._channel.dead is None:
            return self._channel
        for attempt in range(OPENINGS):
            channel = await self._client.channel()
            try:
                async with self._lock:
                    if channel is not self._channel:
                        await self._open(channel)
                        self._channel = channel
                return channel
            except (NotConnectedError, ShuttingDownError, UnknownOutcomeError):
                if attempt + 1 == OPENINGS or channel.dead is None:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _open(self, channel: AsyncChannel) -> None:
        answer = channel.post(self.open_message(channel.next_id()))
        try:
            opened: m.Opened = await asyncio.shield(answer)
        except asyncio.CancelledError:
            answer.add_done_callback(partial(_close_late, channel))
            raise
        try:
            first = self.accept(opened)
            if first or not self.pool.blocks:
                await self._add(channel, self.first_slots)
            elif not self._inline:
                for block in self.pool.blocks:
                    attach = m.Attach(channel.next_id(), self.session, block.slots, block.nbytes)
                    await channel.post(attach, block.fd)
        except BaseException:  # whoever cannot use the session does not keep it open either
            _close_late(channel, answer)
            raise

    async def _add(self, channel: AsyncChannel, slots: int) -> None:
        """More slots: memory of ours that the daemon maps too. It goes on when the caller is cancelled: the
        daemon counts the slots that it was told of, so they count here as well."""
        block = self.pool.grow(slots)
        if self._inline:
            self.pool.free += self.pool.slots_of(block)
            return
        answer = channel.post(m.Attach(channel.next_id(), self.session, slots, block.nbytes), block.fd)
        adopted = asyncio.ensure_future(self._added(block, answer))
        try:
            await asyncio.shield(adopted)
        except asyncio.CancelledError:
            adopted.add_done_callback(_heard)
            raise

    async def _added(self, block: Block, answer: asyncio.Future[Any]) -> None:
        try:
            await answer
        except BaseException:
            block.close()
            raise
        self.pool.free += self.pool.slots_of(block)


def _close_late(channel: AsyncChannel, answer: asyncio.Future[m.Opened]) -> None:
    """Ends a session that was opened for nobody."""
    if answer.cancelled() or answer.exception() is not None or channel.dead is not None:
        return
    channel.post(m.Close(channel.next_id(), answer.result().session)).add_done_callback(_heard)


def _heard(future: asyncio.Future[Any]) -> None:
    """Nobody waits for this; asyncio wants its exception to be looked at all the same."""
    if not future.cancelled():
        future.exception()
