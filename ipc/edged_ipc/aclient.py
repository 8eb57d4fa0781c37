"""The asyncio client: the blocking one's calls, awaited. Same slots, same rules, no thread.

    client = await edged_ipc.connect_async()
    model = await client.open("kws")
    outputs = await model(samples)

Everything belongs to the loop that it was connected on.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from edged_ipc import messages as m
from edged_ipc.achannel import AsyncChannel
from edged_ipc.amodel import AsyncModel
from edged_ipc.client import FIRST_PAUSE, LONGEST_PAUSE, find, program_name
from edged_ipc.dialing import unreachable
from edged_ipc.errors import NotConnectedError, ShuttingDownError


class AsyncClient:
    """A connection to the daemon, looked for again when it is lost; see `edged_ipc.client.Client`."""

    def __init__(self, path: str, inline: bool, name: str, timeout: float, patience: float) -> None:
        self.path = path
        self.inline = inline
        self._name = name or program_name()
        self._timeout = timeout
        self._patience = patience
        self._lock = asyncio.Lock()
        self._channel: AsyncChannel | None = None
        self._closed = False

    async def connect(self) -> AsyncChannel:
        """A new connection. NotConnectedError when nobody is there."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        channel = None
        try:
            async with asyncio.timeout(self._timeout):
                await _connect(sock, self.path)
                channel = AsyncChannel(sock, loop)
                await channel.greet(self._name)
        except OSError as error:  # a timeout is one, too
            problem = unreachable(self.path, error)
            sock.close() if channel is None else channel.end(problem)
            raise problem from None
        except BaseException:  # cancelled, or turned away
            sock.close() if channel is None else channel.end(NotConnectedError("the greeting was given up"))
            raise
        self._channel = channel
        return channel

    async def channel(self) -> AsyncChannel:
        """The living connection, or a new one within `patience`."""
        async with self._lock:
            if self._closed:
                raise NotConnectedError("this client was closed", remedy="connect again")
            if self._channel is not None and self._channel.dead is None:
                return self._channel
            deadline, pause = asyncio.get_running_loop().time() + self._patience, FIRST_PAUSE
            while True:
                try:
                    return await self.connect()
                except (NotConnectedError, ShuttingDownError):
                    if asyncio.get_running_loop().time() + pause > deadline:
                        raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    @property
    def boot(self) -> str:
        """A mark that changes when the daemon starts anew."""
        return self._channel.welcome.boot if self._channel is not None else ""

    async def open(self, model: str, *, slots: int = 1, priority: int | None = None) -> AsyncModel:
        """Opens a session on a model."""
        opened = AsyncModel(self, model, max(slots, 1), priority)
        await opened.connect()
        return opened

    async def control(
        self, name: str, body: Any = None, *, on_event: Callable[[str, Any], None] | None = None
    ) -> Any:
        """Has the daemon do something by name."""
        channel = await self.channel()
        return (await channel.post(m.Control(channel.next_id(), name, body), on_event=on_event)).body

    async def close(self) -> None:
        """Hangs up."""
        self._closed = True
        if self._channel is not None:
            self._channel.end(NotConnectedError("this client was closed"))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _connect(sock: socket.socket, path: str) -> None:
    """Unlike TCP's, a Unix socket's connect that would have to wait has not begun: it is tried again."""
    while True:
        try:
            return sock.connect(path)
        except BlockingIOError:
            await asyncio.sleep(0.005)


async def connect_async(
    path: str | os.PathLike[str] | None = None,
    *,
    inline: bool = False,
    name: str = "",
    timeout: float = 5.0,  # noqa: ASYNC109 - as the blocking client's
    patience: float = 10.0,
) -> AsyncClient:
    """`edged_ipc.connect` for asyncio. NotConnectedError when nobody is there."""
    client = AsyncClient(find(path), inline, name, timeout, patience)
    try:
        await client.connect()
    except ShuttingDownError:  # it is just going: the next one is waited for
        await client.channel()
    return client
