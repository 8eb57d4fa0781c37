"""An open model on the client's side: arrays in, arrays out, over shared slots.

What a program does with a model is here; the connection under it, and its return after a restart of the
daemon, is `edged_ipc.client`.
"""

from __future__ import annotations

from contextlib import suppress
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edged_ipc import messages as m
from edged_ipc.channel import Answer, Channel
from edged_ipc.errors import (
    IpcError,
    NotConnectedError,
    ShuttingDownError,
    UnknownOutcomeError,
)
from edged_ipc.opened import OpenedModel
from edged_ipc.pending import Pending, Slot
from edged_ipc.pool import Block, PoolSlot
from edged_ipc.tensors import Outputs

if TYPE_CHECKING:
    from edged_ipc.client import Client

_NOT_RUN = (NotConnectedError, ShuttingDownError)
OPENINGS = 5
"""A session ends with its connection, so one that was lost while the session was being opened does no harm:
it is opened again on the next one, so many times."""
"""Errors of requests that are known not to have been run: these may be sent again."""


class Model(OpenedModel):
    """A session on a model. Calling it runs it: one array, a list of arrays, or a dict by input name in, an
    `Outputs` out. Threads may share it."""

    def __init__(self, client: Client, name: str, slots: int, priority: int | None) -> None:
        super().__init__(name, slots, client.inline, priority)
        self._client = client
        self._channel: Channel | None = None
        self._lock = RLock()
        self._orphans: list[tuple[PoolSlot, Answer]] = []
        self._adding: tuple[Channel, Block, Answer] | None = None
        self._closed = False
        self._connect()

    def __call__(
        self,
        inputs: Any,
        *,
        priority: int | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> Outputs:
        """Runs the model. `priority` 0 (first) ... 31; `deadline` in seconds from now, after which the daemon
        drops the request; `timeout` is how long this side waits, after which it is cancelled."""
        pending = self.submit(inputs, priority=priority, deadline=deadline)
        try:
            return pending.result(timeout)
        except TimeoutError:
            pending.cancel()
            raise
        except ShuttingDownError:  # known not to have been run: goes to the daemon that comes next
            return self.submit(inputs, priority=priority, deadline=deadline).result(timeout)

    def submit(self, inputs: Any, *, priority: int | None = None, deadline: float | None = None) -> Pending:
        """Sends a request, and does not wait. As many may be under way as there are slots."""
        slot = self._take()
        try:
            self.form.fill(slot.inputs, inputs)
        except BaseException:
            self.free(slot)
            raise
        try:
            return self.send(slot, priority, deadline, held=False)
        except Exception:  # else it was interrupted, and `send` has put the slot away
            self.free(slot)
            raise

    def slot(self) -> Slot:
        """A slot to fill and read in place: `with model.slot() as s: s.inputs[0][...] = x; s.run()`."""
        return Slot(self, self._take())

    def reset(self) -> None:
        """Puts the variables of a streaming model back to their initial values. BusyError while requests are
        under way."""
        channel = self._connect()
        channel.ask(m.Reset(channel.next_id(), self.session))

    def close(self) -> None:
        """Ends the session; requests under way are cancelled."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            channel, self._channel = self._channel, None
        self._client.forget(self)
        if channel is not None and channel.dead is None:
            with suppress(NotConnectedError, ShuttingDownError, UnknownOutcomeError):
                channel.ask(m.Close(channel.next_id(), self.session))
        self.pool.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, slot: PoolSlot, priority: int | None, deadline: float | None, held: bool) -> Pending:
        """Sends the request of a filled slot; again, when it is known that the first one did not arrive. When
        a signal's handler raises, the slot is put away until the request is known to have ended."""
        for last in (False, True):
            known = self._channel
            channel = known if known is not None and known.dead is None else self._connect()
            request, answer = channel.next_id(), Answer()
            try:
                channel.post(self.infer_message(request, slot, priority, deadline), answer)
            except Exception:
                raise
            except BaseException:
                self.orphaned(slot, answer)
                raise
            if last or not isinstance(answer.error, _NOT_RUN):
                break
        return Pending(self, slot, held, channel, request, answer)

    def cancel(self, channel: Channel, request: int, slot: int) -> None:
        """Tells the daemon that nobody wants the answer. Sessions of earlier connections are gone anyway."""
        if channel is self._channel:
            channel.tell(m.Cancel(request, self.session, slot))

    def release(self, slot: PoolSlot, answer: Answer) -> None:
        """Gives back a slot whose request was answered."""
        self.give_back(slot, answer.error, self._client.boot)

    def orphaned(self, slot: PoolSlot, answer: Answer) -> None:
        """A slot whose request nobody waits for any more: it comes back with the answer."""
        self._orphans.append((slot, answer))

    def abandon(self) -> None:
        """In a forked process: opens a session and makes slots of its own at the next call."""
        self._lock = RLock()
        self._channel = None
        self._orphans.clear()
        self._tainted.clear()
        self._adding = None
        self.pool.abandon()

    def _take(self) -> PoolSlot:
        """A free slot; makes more when there is none."""
        slot = self._pop()
        if slot is not None:
            return slot
        with self._lock:
            self._sweep()
            while (slot := self._pop()) is None:
                channel = self._connect()
                self._add(channel, self.more(channel.welcome.limits))
            return slot

    def _pop(self) -> PoolSlot | None:
        try:
            return self.pool.free.pop()
        except IndexError:
            return None

    def _sweep(self) -> None:
        """Takes back slots of dropped requests that have been answered meanwhile."""
        orphans, self._orphans = self._orphans, []
        for slot, answer in orphans:
            if answer.settled:
                self.release(slot, answer)
            else:
                self._orphans.append((slot, answer))
        self.untaint(self._client.boot)

    def _connect(self) -> Channel:
        """The connection that the session is open on; after a restart of the daemon, a new one."""
        with self._lock:
            if self._closed:
                raise NotConnectedError(f"model {self.name!r} was closed", remedy="open it again")
            channel = self._channel
            if channel is not None and channel.dead is None:
                return channel
            for attempt in range(OPENINGS):
                channel = self._client.channel()
                try:
                    if channel is not self._channel:
                        self._open(channel)
                        self._channel = channel
                    return channel
                except (*_NOT_RUN, UnknownOutcomeError):
                    if attempt + 1 == OPENINGS or channel.dead is None:
                        raise
            raise AssertionError("the last attempt returns or raises")

    def _open(self, channel: Channel) -> None:
        if self._adding is not None:
            with suppress(IpcError):  # of a connection that has ended
                self._added()
        opened: m.Opened = channel.ask(self.open_message(channel.next_id()))
        try:
            first = self.accept(opened)
            if first or not self.pool.blocks:
                self._add(channel, self.first_slots)
            elif not self._inline:
                for block in self.pool.blocks:
                    channel.ask(
                        m.Attach(channel.next_id(), self.session, block.slots, block.nbytes), block.fd
                    )
        except BaseException as error:  # whoever cannot use the session does not keep it open either
            closed, waits = Answer(), isinstance(error, Exception)
            with suppress(IpcError):
                channel.post(m.Close(channel.next_id(), opened.session), closed)
                if waits:
                    channel.wait(closed)
            raise

    def _add(self, channel: Channel, slots: int) -> None:
        """More slots: memory of ours that the daemon maps too."""
        if self._adding is not None:
            self._added()  # of a call that was interrupted: the daemon counts these slots, so they come first
            return
        block = self.pool.grow(slots)
        if self._inline:
            self.pool.free += self.pool.slots_of(block)
            return
        answer = Answer()
        self._adding = channel, block, answer
        attach = m.Attach(channel.next_id(), self.session, slots, block.nbytes)
        try:
            channel.post(attach, answer, block.fd)
        except Exception:
            self._adding = None
            raise
        self._added()

    def _added(self) -> None:
        """Waits for what the daemon says of the block that it was sent."""
        assert self._adding is not None
        channel, block, answer = self._adding
        channel.wait(answer)
        self._adding = None
        if answer.error is not None:
            block.close()
            raise answer.error
        self.pool.free += self.pool.slots_of(block)
