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
import sys
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from edged_ipc import messages as m
from edged_ipc.channel import lost, unreachable
from edged_ipc.client import find
from edged_ipc.connection import Connection, Role
from edged_ipc.errors import (
    BusyError,
    IpcError,
    LocalProtocolError,
    NotConnectedError,
    RemoteProtocolError,
    ShuttingDownError,
    SignatureChangedError,
    UnknownOutcomeError,
    from_wire,
)
from edged_ipc.messages import ANY_PRIORITY, Message, TensorSpec
from edged_ipc.pool import PoolSlot, SlotPool
from edged_ipc.tensors import Form, Outputs

_READ = 1 << 18


class AsyncChannel:
    """One connection, from Hello to its end."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self._sock = sock
        self._loop = loop
        self._connection = Connection(Role.CLIENT)
        self._waiting: dict[int, tuple[asyncio.Future[Any], Callable[[str, Any], None] | None]] = {}
        self._out: deque[tuple[bytes, int]] = deque()
        self._goodbye: m.Goodbye | None = None
        self._welcomed: asyncio.Future[m.Welcome] = loop.create_future()
        self.next_id = count(1).__next__
        self.dead: IpcError | None = None
        self.welcome: m.Welcome
        loop.add_reader(sock, self._readable)

    async def greet(self, client: str, timeout: float) -> None:
        """Hello and Welcome."""
        self._write(self._connection.send(m.Hello(m.PROTOCOL, m.PROTOCOL, client)), -1)
        try:
            self.welcome = await asyncio.wait_for(self._welcomed, timeout)
        except TimeoutError:
            self.end(NotConnectedError(f"edged did not answer within {timeout:g} s", remedy="see its log"))
            assert self.dead is not None
            raise self.dead from None

    def post(
        self, message: Message, fd: int = -1, on_event: Callable[[str, Any], None] | None = None
    ) -> asyncio.Future[Any]:
        """Sends a request; the future gets its answer."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.dead is not None:
            future.set_exception(NotConnectedError("edged has gone; this request was not sent"))
            return future
        data = self._connection.send(message)
        self._waiting[message.request] = future, on_event  # type: ignore[attr-defined]
        self._write(data, fd)
        return future

    def tell(self, message: Message) -> None:
        """Sends what has no answer (Cancel)."""
        if self.dead is None:
            self._write(self._connection.send(message), -1)

    def _write(self, data: bytes, fd: int) -> None:
        self._out.append((data, fd))
        if len(self._out) == 1:
            self._flush()

    def _flush(self) -> None:
        """Sends what waits, until the kernel takes no more."""
        while self._out:
            data, fd = self._out[0]
            try:
                sent = socket.send_fds(self._sock, [data], [fd]) if fd >= 0 else self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                return self.end(NotConnectedError(f"edged has gone: {error.strerror}"))
            if sent == len(data):
                self._out.popleft()
            elif sent:
                self._out[0] = data[sent:], -1
            else:
                self._loop.add_writer(self._sock, self._flush)
                return
        self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_READ)
            if not data:
                return self.end(NotConnectedError("edged has closed the connection"))
            self._connection.receive_data(data)
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


class AsyncClient:
    """A connection to the daemon, looked for again when it is lost; see `edged_ipc.client.Client`."""

    def __init__(self, path: str, inline: bool, name: str, timeout: float, patience: float) -> None:
        self.path = path
        self.inline = inline
        self._name = name or f"{os.path.basename(sys.argv[0]) or 'python'}[{os.getpid()}]"
        self._timeout = timeout
        self._patience = patience
        self._lock = asyncio.Lock()
        self._channel: AsyncChannel | None = None
        self._closed = False

    async def connect(self) -> AsyncChannel:
        """A new connection. NotConnectedError when nobody is there."""
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            await asyncio.wait_for(loop.sock_connect(sock, self.path), self._timeout)
        except OSError as error:
            sock.close()
            raise unreachable(self.path, error) from None
        channel = AsyncChannel(sock, loop)
        await channel.greet(self._name, self._timeout)
        self._channel = channel
        return channel

    async def channel(self) -> AsyncChannel:
        """The living connection, or a new one within `patience`."""
        async with self._lock:
            if self._closed:
                raise NotConnectedError("this client was closed", remedy="connect again")
            if self._channel is not None and self._channel.dead is None:
                return self._channel
            deadline, pause = asyncio.get_running_loop().time() + self._patience, 0.01
            while True:
                try:
                    return await self.connect()
                except (NotConnectedError, ShuttingDownError):
                    if asyncio.get_running_loop().time() + pause > deadline:
                        raise
                await asyncio.sleep(pause)
                pause = min(2 * pause, 0.5)

    @property
    def boot(self) -> str:
        """A mark that changes when the daemon starts anew."""
        return self._channel.welcome.boot if self._channel is not None else ""

    async def open(self, model: str, *, slots: int = 1, priority: int | None = None) -> AsyncModel:
        """Opens a session on a model."""
        opened = AsyncModel(self, model, max(slots, 1), ANY_PRIORITY if priority is None else priority)
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


class AsyncModel:
    """A session on a model; see `edged_ipc.model.Model`."""

    def __init__(self, client: AsyncClient, name: str, slots: int, priority: int) -> None:
        self.name = name
        self._client = client
        self._slots = slots
        self._priority = priority
        self._lock = asyncio.Lock()
        self._channel: AsyncChannel | None = None
        self._session = 0
        self._tainted: list[tuple[str, PoolSlot]] = []
        self._pool: SlotPool | None = None
        self._opened: m.Opened
        self.form: Form

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._opened.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._opened.outputs

    async def __call__(
        self, inputs: Any, *, priority: int | None = None, deadline: float | None = None
    ) -> Outputs:
        """Runs the model. Cancelling the task cancels the request."""
        slot = await self._take()
        answered = False
        try:
            self.form.fill(slot.inputs, inputs)
            message = await self._send(slot, priority, deadline)
            answered = True
            if isinstance(message, m.DoneInline):
                begin = self._input_bytes()
                slot.memory[begin : begin + len(message.payload)] = message.payload
            arrays = [a.copy() for a in slot.outputs]
            return Outputs(self.form.names, arrays, message.version, message.queue_us, message.run_us)
        except UnknownOutcomeError:
            self._tainted.append((self._client.boot, slot))
            raise
        except asyncio.CancelledError:
            raise
        except BaseException:
            answered = True
            raise
        finally:
            if answered:
                self._free(slot)

    async def _send(self, slot: PoolSlot, priority: int | None, deadline: float | None) -> Any:
        level = ANY_PRIORITY if priority is None else priority
        wait_us = 0 if deadline is None else max(int(deadline * 1e6), 1)
        for last in (False, True):
            channel = await self.connect()
            request = channel.next_id()
            if self._client.inline:
                payload = bytes(slot.memory[: self._input_bytes()])
                message: Message = m.InferInline(request, self._session, slot.number, payload, wait_us, level)
            else:
                message = m.Infer(request, self._session, slot.number, wait_us, level)
            future = channel.post(message)
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self._give_up(channel, request, slot, future)
                raise
            except (NotConnectedError, ShuttingDownError):
                if last:
                    raise
        raise AssertionError("unreachable")

    def _give_up(
        self, channel: AsyncChannel, request: int, slot: PoolSlot, future: asyncio.Future[Any]
    ) -> None:
        """The task was cancelled: so is the request, whose slot comes back with its answer."""

        def answered(future: asyncio.Future[Any]) -> None:
            if isinstance(future.exception(), UnknownOutcomeError):
                self._tainted.append((self._client.boot, slot))
            else:
                self._free(slot)

        future.add_done_callback(answered)
        channel.tell(m.Cancel(request, self._session, slot.number))

    async def reset(self) -> None:
        """Puts the variables of a streaming model back to their initial values."""
        channel = await self.connect()
        await channel.post(m.Reset(channel.next_id(), self._session))

    async def close(self) -> None:
        """Ends the session."""
        channel, self._channel = self._channel, None
        if channel is not None and channel.dead is None:
            try:
                await channel.post(m.Close(channel.next_id(), self._session))
            except (NotConnectedError, ShuttingDownError, UnknownOutcomeError, LocalProtocolError):
                pass  # the session has ended with its connection
        if self._pool is not None:
            self._pool.close()

    def _input_bytes(self) -> int:
        return self.outputs[0].offset if self.outputs else self._opened.slot_bytes

    def _free(self, slot: PoolSlot) -> None:
        assert self._pool is not None
        self._pool.free.append(slot)

    async def _take(self) -> PoolSlot:
        """A free slot; makes more when there is none."""
        channel = await self.connect()
        assert self._pool is not None
        async with self._lock:
            boot = self._client.boot
            self._pool.free += [slot for old, slot in self._tainted if old != boot]
            self._tainted = [entry for entry in self._tainted if entry[0] == boot]
            while not self._pool.free:
                most = channel.welcome.limits.slots - self._pool.count
                if most <= 0 or self._pool.inline:
                    raise BusyError(
                        f"all {self._pool.count} slots of model {self.name!r} are in use",
                        remedy="await results first, or open the model with more slots",
                    )
                await self._add(channel, min(max(self._pool.count, 1), 16, most))
            return self._pool.free.pop()

    async def connect(self) -> AsyncChannel:
        """The connection that the session is open on; after a restart of the daemon, a new one."""
        if self._channel is not None and self._channel.dead is None:
            return self._channel
        channel = await self._client.channel()
        async with self._lock:
            if channel is not self._channel:
                await self._open(channel)
                self._channel = channel
        return channel

    async def _open(self, channel: AsyncChannel) -> None:
        inline, pool = self._client.inline, self._pool
        slots = self._slots if pool is None else pool.count
        opened: m.Opened = await channel.post(
            m.Open(channel.next_id(), self.name, slots, inline, self._priority)
        )
        if pool is not None and (opened.inputs, opened.outputs) != (self.inputs, self.outputs):
            await channel.post(m.Close(channel.next_id(), opened.session))
            raise SignatureChangedError(
                f"model {self.name!r} has other inputs or outputs since the daemon restarted",
                remedy="open it again",
            )
        self._opened, self._session = opened, opened.session
        if pool is None:
            self.form = Form(opened.inputs, opened.outputs)
            self._pool = SlotPool(self.form, opened.slot_bytes, inline)
            await self._add(channel, slots)
        elif not inline:
            for block in pool.blocks:
                await channel.post(
                    m.Attach(channel.next_id(), self._session, block.slots, block.nbytes), block.fd
                )

    async def _add(self, channel: AsyncChannel, slots: int) -> None:
        assert self._pool is not None
        block = self._pool.grow(slots)
        try:
            if not self._pool.inline:
                await channel.post(m.Attach(channel.next_id(), self._session, slots, block.nbytes), block.fd)
        except BaseException:
            self._pool.forget(block)
            raise
        self._pool.free += self._pool.slots_of(block)


async def connect_async(
    path: str | os.PathLike[str] | None = None,
    *,
    inline: bool = False,
    name: str = "",
    timeout: float = 5.0,
    patience: float = 10.0,
) -> AsyncClient:
    """`edged_ipc.connect` for asyncio. NotConnectedError when nobody is there."""
    client = AsyncClient(find(path), inline, name, timeout, patience)
    await client.connect()
    return client
