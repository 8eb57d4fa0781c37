"""The asyncio way to the daemon: a non-blocking socket on the loop, a Connection, and futures for answers."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from edged_ipc import messages as m
from edged_ipc.channel import lost
from edged_ipc.connection import Connection, Role
from edged_ipc.errors import IpcError, NotConnectedError, RemoteProtocolError, from_wire
from edged_ipc.messages import Message

_READ = 1 << 12


class AsyncChannel:
    """One connection, from Hello to its end."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = sock
        self._loop = loop
        self._connection = Connection(Role.CLIENT)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[str, Any], None] | None]] = {}
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
        self, message: Message, fd: int = -1, on_event: Callable[[str, Any], None] | None = None
    ) -> asyncio.Future[Any]:
        """Sends a request; the future gets its answer."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.dead is not None:
            future.set_exception(NotConnectedError("edged has gone; this request was not sent"))
            return future
        data = self._connection.send(message)
        request: int = message.request  # type: ignore[attr-defined]
        self._waiting[request] = future, on_event
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
                self._loop.add_writer(self._sock, self._flush)
                return
        self._loop.remove_writer(self._sock)

    def _unsent(self) -> None:
        """The daemon takes nothing more: reads what it said before it went. What was not sent is known to
        have not been run."""
        error = NotConnectedError("edged has gone; this request was not sent")
        for _, _, request in self._out:
            future, _ = self._waiting.pop(request, (None, None))
            if future is not None and not future.done():
                future.set_exception(error)
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
            if found is not None and found[1] is not None:
                found[1](message.name, message.body)
            return
        future, _ = self._waiting.pop(request)
        if future.done():
            return  # whoever waited was cancelled
        if isinstance(message, m.Failed):
            future.set_exception(from_wire(message.code, message.message, message.remedy))
        else:
            future.set_result(message)

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
        for future, _ in self._waiting.values():
            if not future.done():
                future.set_exception(lost(self._goodbye, error))
        self._waiting.clear()
