"""One client's connection on the daemon's side: reads frames, and does for each what the table says.

Runs on the polling thread; only `answer` is called from others. What a client does with its sessions is
`edged_ipc.sessions`.
"""

from __future__ import annotations

import array
import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import TYPE_CHECKING, Any

from edged_ipc import messages as m
from edged_ipc.codes import Code
from edged_ipc.connection import Connection
from edged_ipc.errors import (
    BusyError,
    LocalProtocolError,
    NotConnectedError,
    QuotaExceededError,
    RemoteProtocolError,
    to_wire,
)
from edged_ipc.messages import Limits, Message
from edged_ipc.outbox import Outbox
from edged_ipc.poll import IN, OUT
from edged_ipc.quota import Account
from edged_ipc.rules import Role, State
from edged_ipc.service import Peer
from edged_ipc.sessions import Sessions

if TYPE_CHECKING:
    from edged_ipc.server import Server

_READ = 1 << 12
"""Bytes read at once: about a hundred requests, so that nobody's burst keeps the others waiting long."""
_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_LOST = int(socket.MSG_CTRUNC)
_FD_ROOM = socket.CMSG_LEN(array.array("i").itemsize)
"""Room for one file descriptor; the kernel closes what more comes and says so (MSG_CTRUNC)."""
FRAME_HEAD = 32
"""Bytes before the payload of an InferInline's body."""
MOST_TASKS = 16
"""Open and Control messages of one connection that may be under way."""


class Served:
    """A connection from accept to its end. `limits` are the default ones until Hello."""

    def __init__(self, server: Server, sock: socket.socket, peer: Peer, account: Account) -> None:
        self.server = server
        self.service = server.service
        self.peer = peer
        self.account = account
        self.limits = Limits()
        self.client = ""
        self.tasks = 0
        self._controls: dict[int, Future[Any]] = {}
        self.gone = False
        self.connection = Connection(Role.DAEMON, control_bytes=1 << 16, inline_bytes=_READ)
        given_up = partial(self.drop, "it does not read")
        self.outbox = Outbox(sock, server.poll, server.unsent_bytes, server.unread_seconds, given_up)
        self.sessions = Sessions(self)
        self._sock = sock
        self._does: dict[type[Message], Callable[[Any], None]] = {
            m.Hello: self._hello,
            m.Control: self._control,
            **self.sessions.does,
        }

    # ---- bytes ----

    def ready(self, mask: int) -> None:
        """The socket can be read or written, or is dead."""
        if mask & OUT:
            self.outbox.flush()
        if mask & IN:
            if not self.server.draining:  # it may have been ready in the round of the drain
                self._read()
        elif mask & ~OUT:
            self.drop("hung up")

    def _read(self) -> None:
        connection = self.connection
        try:
            count, ancillary, flags, _ = self._sock.recvmsg_into([connection.room(_READ)], _FD_ROOM, _FLAGS)
        except BlockingIOError:
            return
        except OSError as error:
            return self.drop(f"reading failed: {error.strerror}")
        fds = received(ancillary, flags) if ancillary or flags & _LOST else ()
        if not count:
            return self.drop("closed by the client")
        connection.arrived(count, fds)
        try:
            while (message := connection.next_event()) is not None:
                self._does[type(message)](message)
                if self.gone:
                    return
        except RemoteProtocolError as error:
            self.goodbye(Code.BAD_FRAME, error.message, "is the client of another version?")

    def answer(self, message: Message) -> None:
        """Sends a message, from any thread; goes nowhere when the connection has ended."""
        try:
            data = self.connection.send(message)
        except LocalProtocolError:
            if self.connection.state is State.CLOSED or self.gone or self.server.stopping:
                return
            raise
        self.outbox.write(data)

    def fail(self, request: int, error: BaseException) -> None:
        """Answers a request with what was raised; what was not raised on purpose is reported too."""
        code, message, remedy = to_wire(error)
        if code == Code.INTERNAL:
            self.server.report(f"a request of {self.client or self.peer.pid} failed", error)
        self.answer(m.Failed(request, code, message[: 1 << 14], remedy[: 1 << 14]))

    def goodbye(self, code: int, message: str, remedy: str = "") -> None:
        """Ends the connection and says why."""
        if self.connection.state is not State.CLOSED:
            self.answer(m.Goodbye(int(code), message[: 1 << 14], remedy))
        self.drop(message)

    def give_up(self) -> None:
        """The daemon stops: nobody will hear how what was read and has no answer ends."""
        for request in list(self.connection.outstanding):
            text = "the daemon stopped while this request was under way"
            self.answer(m.Failed(request, Code.UNKNOWN_OUTCOME, text, "it may have been done, or not"))

    def drop(self, why: str) -> None:
        """Closes the socket. Sessions end when the last request under way on them has been answered."""
        if self.gone:
            return
        self.gone = True
        for fd in self.connection.parked_fds():
            os.close(fd)
        self.outbox.close()
        for future in self._controls.values():
            future.cancel()
        self.sessions.end()
        self.server.dropped(self, why)

    # ---- messages ----

    def _hello(self, x: m.Hello) -> None:
        if x.oldest > m.PROTOCOL or x.newest < m.PROTOCOL:
            text = f"the client speaks versions {x.oldest} to {x.newest}, this daemon {m.PROTOCOL}"
            return self.goodbye(Code.UNSUPPORTED, text, "install matching versions of edged and edged_ipc")
        try:
            self.limits = limits = self.service.hello(self.peer)
            if self.account.connections > limits.connections:
                raise QuotaExceededError(
                    f"user {self.peer.uid} has {limits.connections} connections, more are not allowed"
                )
        except Exception as error:
            return self.goodbye(*to_wire(error))
        self.client = x.client
        self.connection.limits["control"] = limits.control_bytes
        self.answer(m.Welcome(m.PROTOCOL, self.server.name, self.server.boot, limits))

    def allow_inline(self, payload: int) -> None:
        """Takes inline frames of as many bytes from now on. No larger ones than the sessions need, so that
        half a frame never holds more memory than the quota has counted."""
        limits = self.connection.limits
        limits["inline"] = max(limits["inline"], payload + FRAME_HEAD)

    def _control(self, x: m.Control) -> None:
        def push(name: str, body: Any) -> None:
            if self.gone:
                raise NotConnectedError("the peer has gone")
            self.answer(m.Event(x.request, name, body))

        coroutine = self.service.control(self.peer, x.name, x.body, push)
        future = self.begin(x.request, coroutine, partial(self._controlled, x))
        if future is not None:
            self._controls[x.request] = future

    def _controlled(self, x: m.Control, future: Future[Any]) -> None:
        self._controls.pop(x.request, None)
        try:
            self.answer(m.Reply(x.request, future.result()))
        except (asyncio.CancelledError, CancelledError):
            return  # by `drop`
        except Exception as error:
            self.fail(x.request, error)

    def begin(
        self, request: int, coroutine: Coroutine[Any, Any, Any], then: Callable[[Future[Any]], None]
    ) -> Future[Any] | None:
        """Runs a coroutine on the daemon's loop, and `then` back on this thread. None when this connection
        has too many of them, and the request was answered with that."""
        if self.tasks >= MOST_TASKS:
            coroutine.close()
            text = f"{MOST_TASKS} slow requests of this connection are under way"
            self.fail(request, BusyError(text, remedy="wait for an answer"))
            return None
        self.tasks += 1
        future = asyncio.run_coroutine_threadsafe(coroutine, self.server.loop)

        def finished() -> None:
            self.tasks -= 1
            then(future)

        future.add_done_callback(lambda _: self.server.poll.post(finished))
        return future


def received(ancillary: list[tuple[int, int, bytes]], flags: int) -> tuple[int | None, ...]:
    """The file descriptors of one recvmsg. Where some were lost (MSG_CTRUNC) or too many came, all that came
    are closed, and None stands for them."""
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if len(fds) <= 1 and not flags & _LOST:
        return tuple(fds)
    for fd in fds:
        os.close(fd)
    return (None,)
