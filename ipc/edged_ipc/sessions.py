"""The sessions of one connection: what Open, Attach, Infer, Cancel, Reset and Close do to them.

Runs on the polling thread. A session that ends, by Close or with its connection, is closed when the last
request under way on it has been answered; its memory stays mapped until then.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from edged_ipc import messages as m
from edged_ipc import shm
from edged_ipc.errors import (
    BadInputError,
    BadSlotError,
    BusyError,
    LocalProtocolError,
    NoSessionError,
    QuotaExceededError,
    UnsupportedError,
)
from edged_ipc.messages import Message
from edged_ipc.service import Opening
from edged_ipc.slots import SlotTable, placed

if TYPE_CHECKING:
    from edged_ipc.served import Served


class Sessions:
    """Tables by session id. Nobody but the connection's own peer can name them."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.tables: dict[int, SlotTable] = {}
        self._next = 0
        self.does: dict[type[Message], Callable[[Any], None]] = {
            m.Open: self._open, m.Attach: self._attach, m.Close: self._close, m.Reset: self._reset,
            m.Infer: self._infer, m.InferInline: self._infer_inline, m.Cancel: self._cancel,
        }  # fmt: skip

    def end(self) -> None:
        """The connection has ended."""
        for table in list(self.tables.values()):
            self._end_session(table)

    @property
    def under_way(self) -> int:
        """Requests that have no answer yet."""
        return sum(1 for table in list(self.tables.values()) for request in table.requests if request)

    def _open(self, x: m.Open) -> None:
        priority = None if x.priority == m.ANY_PRIORITY else x.priority
        table = SlotTable(
            self._next, x.model, x.inline, self.served.account, self.served.answer, self._settle_soon
        )
        try:
            if priority is not None and priority > m.LAST_PRIORITY:
                raise BadInputError(
                    f"priority {priority}: 0 (first) to {m.LAST_PRIORITY} (last) are possible"
                )
            if x.slots > self.served.limits.slots:
                raise QuotaExceededError(
                    f"{x.slots} slots are wanted, {self.served.limits.slots} are allowed"
                )
            self.served.account.take("sessions", 1, self.served.limits.sessions)
        except Exception as error:
            return self.served.fail(x.request, error)
        self._next += 1
        coroutine = self.served.service.open(self.served.peer, x.model, priority, table)
        if self.served.begin(x.request, coroutine, partial(self._opened, x, table)) is None:
            self.served.account.give("sessions", 1)

    def _opened(self, x: m.Open, table: SlotTable, future: Future[Opening]) -> None:
        """The service has opened the model, or raised. (Not cancelled: what it has opened must be closed.)"""
        try:
            opening = future.result()
        except Exception as error:
            self.served.account.give("sessions", 1)
            return self.served.fail(x.request, error)
        table.handle = opening.handle
        self.tables[table.id] = table
        try:
            inputs, outputs, table.slot_bytes = placed(opening.inputs, opening.outputs)
            table.input_bytes = outputs[0].offset if outputs else table.slot_bytes
            if x.inline:
                self._own_slots(table, x.slots)
        except Exception as error:
            table.ack = -1
            self._end_session(table)
            return self.served.fail(x.request, error)
        if self.served.gone:
            return self._end_session(table)
        opened = m.Opened(
            x.request, table.id, opening.version, table.slot_bytes, inputs, outputs, opening.stateful
        )
        try:
            self.served.answer(opened)
        except LocalProtocolError as error:  # a tensor's name of 10,000 letters, say
            table.ack = -1
            self._end_session(table)
            self.served.fail(x.request, UnsupportedError(str(error)))

    def _own_slots(self, table: SlotTable, count: int) -> None:
        """Slots of an inline session: in the daemon's memory, and counted as the client's."""
        nbytes = table.slot_bytes * count
        most = self.served.limits.inline_bytes
        if table.slot_bytes + 64 > most:
            raise UnsupportedError(
                f"{table.slot_bytes} bytes of tensors do not fit a frame of {most} bytes",
                remedy="connect without inline",
            )
        self.served.account.take("memory_bytes", nbytes, self.served.limits.memory_bytes)
        try:
            views = table.add(mmap.mmap(-1, max(nbytes, 1)), count)
        except BaseException:
            self.served.account.give("memory_bytes", nbytes)
            raise
        self.served.outbox.most += nbytes
        self.served.allow_inline(table.input_bytes)
        self.served.service.attach(table.handle, views)

    def _attach(self, x: m.Attach) -> None:
        try:
            if x.fd is None:
                raise BadSlotError(
                    "the file descriptor of the memory did not arrive",
                    remedy="send one with each Attach; is the daemon out of file descriptors?",
                )
            self._map(self._session(x.session), x.slots, x.nbytes, x.fd)
        except Exception as error:
            return self.served.fail(x.request, error)
        finally:
            if x.fd is not None:
                os.close(x.fd)
        self.served.answer(m.Ack(x.request))

    def _map(self, table: SlotTable, slots: int, nbytes: int, fd: int) -> None:
        have = len(table.slots)
        if (
            table.inline
            or not 0 < slots <= self.served.limits.slots - have
            or slots * table.slot_bytes != nbytes
        ):
            raise BadSlotError(
                f"{slots} slots in {nbytes} bytes: a slot of this session has {table.slot_bytes} bytes, and "
                f"{0 if table.inline else self.served.limits.slots - have} more are allowed"
            )
        self.served.account.take("memory_bytes", nbytes, self.served.limits.memory_bytes)
        try:
            views = table.add(shm.map_foreign(fd, nbytes), slots)
        except BaseException:
            self.served.account.give("memory_bytes", nbytes)
            raise
        self.served.service.attach(table.handle, views)

    def _infer(self, x: m.Infer | m.InferInline) -> None:
        table = self.tables.get(x.session)
        slot, priority = x.slot, x.priority
        if (
            table is None
            or table.closing
            or slot >= len(table.requests)
            or table.requests[slot]
            or 31 < priority != m.ANY_PRIORITY
        ):
            error = self._refusal(x, table)
            if error is not None:
                return self.served.fail(x.request, error)
        assert table is not None
        if not self.served.account.begin(self.served.limits.in_flight):
            return self.served.fail(
                x.request,
                QuotaExceededError(
                    f"user {self.served.peer.uid} has {self.served.limits.in_flight} requests under way",
                    remedy="wait for answers, or raise `in_flight` in the policy of this user",
                ),
            )
        table.requests[slot] = x.request
        try:
            ticket = self.served.service.infer(
                table.handle,
                x.request,
                slot,
                None if priority == m.ANY_PRIORITY else priority,
                x.deadline_us * 1e-6 if x.deadline_us else None,
            )
        except Exception as error:
            table.requests[slot] = 0
            self.served.account.end()
            return self.served.fail(x.request, error)
        if table.requests[slot] == x.request:
            table.tickets[slot] = ticket

    def _refusal(self, x: m.Infer | m.InferInline, table: SlotTable | None) -> Exception | None:
        """Why an Infer cannot be taken, found out in the cold; None when it can after all."""
        if table is None or table.closing:
            return NoSessionError(f"session {x.session} is not open on this connection")
        if x.slot >= len(table.requests):
            return BadSlotError(f"slot {x.slot}: session {x.session} has {len(table.requests)} slots")
        if table.requests[x.slot]:
            return BadSlotError(
                f"slot {x.slot} has request {table.requests[x.slot]} under way", remedy="wait for its answer"
            )
        if x.priority not in (*range(m.LAST_PRIORITY + 1), m.ANY_PRIORITY):
            return BadInputError(f"priority {x.priority}: 0 (first) to {m.LAST_PRIORITY} (last) are possible")
        return None

    def _infer_inline(self, x: m.InferInline) -> None:
        table = self.tables.get(x.session)
        if (
            table is not None
            and not table.closing
            and x.slot < len(table.slots)
            and not table.requests[x.slot]
        ):
            if not table.inline:
                return self.served.fail(x.request, BadSlotError("this session was not opened inline"))
            if len(x.payload) != table.input_bytes:
                text = f"the inputs of this model take {table.input_bytes} bytes, {len(x.payload)} came"
                return self.served.fail(x.request, BadInputError(text))
            table.slots[x.slot][: table.input_bytes] = x.payload
        self._infer(x)

    def _cancel(self, x: m.Cancel) -> None:
        """Too late, or never asked for: nothing to do, since the request is or was answered anyway."""
        table = self.tables.get(x.session)
        if table is not None and x.slot < len(table.requests) and table.requests[x.slot] == x.request:
            self._cancel_slot(table, x.slot)

    def _cancel_slot(self, table: SlotTable, slot: int) -> None:
        ticket = table.tickets[slot]
        if ticket is not None:
            self.served.service.cancel(table.handle, ticket)

    def _reset(self, x: m.Reset) -> None:
        try:
            table = self._session(x.session)
            if table.busy:
                raise BusyError("requests of this session are under way", remedy="wait for their answers")
            self.served.service.reset(table.handle)
        except Exception as error:
            return self.served.fail(x.request, error)
        self.served.answer(m.Ack(x.request))

    def _close(self, x: m.Close) -> None:
        try:
            table = self._session(x.session)
        except NoSessionError as error:
            return self.served.fail(x.request, error)
        table.ack = x.request
        self._end_session(table)

    def _session(self, id: int) -> SlotTable:
        table = self.tables.get(id)
        if table is None or table.closing:
            raise NoSessionError(f"session {id} is not open on this connection")
        return table

    def _end_session(self, table: SlotTable) -> None:
        """Cancels what is under way, and closes the session when all of it has been answered."""
        table.closing = True
        for slot, request in enumerate(table.requests):
            if request:
                self._cancel_slot(table, slot)
        self._settle(table)

    def _settle_soon(self, table: SlotTable) -> None:
        """From the thread of the last answer."""
        self.served.server.poll.post(partial(self._settle, table))

    def _settle(self, table: SlotTable) -> None:
        if table.busy or self.tables.pop(table.id, None) is None:
            return
        try:
            self.served.service.close(table.handle)
        except Exception as error:
            self.served.server.report(f"closing a session on {table.model} failed", error)
        table.release()
        self.served.account.give("sessions", 1)
        self.served.account.give("memory_bytes", table.memory_bytes)
        if table.inline:
            self.served.outbox.most -= table.memory_bytes
        if table.ack > 0:
            self.served.answer(m.Ack(table.ack))
        self.served.server.settled(self.served)
