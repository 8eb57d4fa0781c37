"""The asyncio way to the daemon: a non-blocking socket on the loop, a Connection, and futures for answers."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from edged_ipc import messages as m
from edged_ipc.connection import Connection
from edged_ipc.dialing import lost
from edged_ipc.errors import IpcError, NotConnectedError, RemoteProtocolError, from_wire
from edged_ipc.messages import Message
from edged_ipc.rules import Role

_READ = 1 << 12


class Waiting(NamedTuple):
    """Who waits for an answer. `late` hears of it, and of the error if there was one, when the future has
    been cancelled meanwhile."""

    future: asyncio.Future[Any]
    on_event: Callable[[str, Any], None] | None
    late: Callable[[IpcError | None], None] | None

    def settle(self, message: Message | None, error: IpcError | None) -> None:
        if self.future.cancelled():
            if self.late is not None:
                self.late(error)
        elif error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(message)


class AsyncChannel:
    """One connection, from Hello to its end."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = sock
        self._loop = loop
        self._connection = Connection(Role.CLIENT)
        self._waiting: dict[int, Waiting] = {}
        self._writing = False
        self._out: deque[tuple[bytes, int, int]] = deque()
        self._goodbye: m.Goodbye | None = None
        self._welcomed: asyncio.Future[m.Welcome] = loop.create_future()
        self.next_id = count(1).__next__
        self.dead: IpcError | None = None
        self.welcome: m.Welcome
        loop.add_reader(sock, self._readable)

    async def greet(self, client: str) -> None:
        """Hello and Welcome."""
        self._write(self._connection.send(m.Hello(m.PROTOCOL, m.PROTOCOL, client)), -1, 0)
        self.welcome = await self._welcomed

    def post(
        self,
        message: Message,
        fd: int = -1,
        on_event: Callable[[str, Any], None] | None = None,
        late: Callable[[IpcError | None], None] | None = None,
    ) -> asyncio.Future[Any]:
        """Sends a request; the future gets its answer."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.dead is not None:
            future.set_exception(NotConnectedError("edged has gone; this request was not sent"))
            return future
        data = self._connection.send(message)
        request: int = message.request  # type: ignore[attr-defined]
        self._waiting[request] = Waiting(future, on_event, late)
        self._write(data, fd, request)
        return future

    def tell(self, message: Message) -> None:
        """Sends what has no answer (Cancel)."""
        if self.dead is None:
            self._write(self._connection.send(message), -1, 0)

    def _write(self, data: bytes, fd: int, request: int) -> None:
        self._out.append((data, fd, request))
        if len(self._out) == 1:
            self._flush()

    def _flush(self) -> None:
        """Sends what waits, until the kernel takes no more."""
        while self._out:
            data, fd, request = self._out[0]
            try:
                sent = socket.send_fds(self._sock, [data], [fd]) if fd >= 0 else self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return self._unsent()
            if sent == len(data):
                self._out.popleft()
            elif sent:
                self._out[0] = data[sent:], -1, request
            else:
                if not self._writing:
                    self._writing = True
                    self._loop.add_writer(self._sock, self._flush)
                return
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._sock)

    def _unsent(self) -> None:
        """The daemon takes nothing more: reads what it said before it went. What was not sent is known to
        have not been run."""
        error = NotConnectedError("edged has gone; this request was not sent")
        for _, _, request in self._out:
            waiting = self._waiting.pop(request, None)
            if waiting is not None:
                waiting.settle(None, error)
        self._out.clear()
        self._readable()
        self.end(error)

    def _readable(self) -> None:
        try:
            count = self._sock.recv_into(self._connection.room(_READ))
            if not count:
                return self.end(NotConnectedError("edged has closed the connection"))
            self._connection.arrived(count)
            while (message := self._connection.next_event()) is not None:
                self._take(message)
        except BlockingIOError:
            return
        except OSError as error:
            self.end(NotConnectedError(f"edged has gone: {error.strerror}"))
        except RemoteProtocolError as error:
            self.end(error)

    def _take(self, message: Message) -> None:
        if isinstance(message, m.Welcome):
            if not self._welcomed.done():
                self._welcomed.set_result(message)
            return
        if isinstance(message, m.Goodbye):
            self._goodbye = message
            return self.end(from_wire(message.code, message.message, message.remedy))
        request: int = message.request  # type: ignore[attr-defined]
        if isinstance(message, m.Event):
            found = self._waiting.get(request)
            if found is not None and found.on_event is not None:
                found.on_event(message.name, message.body)
            return
        waiting = self._waiting.pop(request)
        if isinstance(message, m.Failed):
            waiting.settle(None, from_wire(message.code, message.message, message.remedy))
        else:
            waiting.settle(message, None)

    def end(self, error: IpcError) -> None:
        """The connection is lost: everybody who waits is told."""
        if self.dead is not None:
            return
        self.dead = error
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        if not self._welcomed.done():
            self._welcomed.set_exception(error)
        everybody, self._waiting = self._waiting, {}
        for waiting in everybody.values():
            waiting.settle(None, lost(self._goodbye, error))
