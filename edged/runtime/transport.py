"""Messages between the daemon and the child process that an isolated backend lives in.

Down: pickles (the daemon trusts itself), with tensor data as plain bytes. Up: msgpack of plain values only,
since what comes from vendor code is not trusted; each message is bounded. A frame is a 4-byte little-endian
length and the body.
"""

from __future__ import annotations

import io
import pickle
import select
import socket
import struct
from typing import Any

import msgspec

MAX_REPLY = 16 << 20
_LENGTH = struct.Struct("<I")
_TIMEVAL = struct.Struct("@ll")


class ClosedError(Exception):
    """The other side has gone."""


class SlowError(Exception):
    """No answer within the time given."""


class _Pickler(pickle.Pickler):
    """Memoryviews of mapped files become bytes on the way; what is read back is a memoryview again."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, memoryview):
            return memoryview, (bytes(obj),)
        if type(obj).__name__ == "mappingproxy":
            return dict, (dict(obj),)
        return NotImplemented


def dump(message: object) -> bytes:
    """A message for the child."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(message)
    return buffer.getvalue()


def send(sock: socket.socket, body: bytes, fd: int | None = None, timeout: float | None = None) -> None:
    """Sends one frame whole, and `fd` behind it. ClosedError when nobody is there, SlowError when nobody
    takes it for `timeout` seconds (a stopped process, and more than the socket holds)."""
    if timeout is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(*_split(timeout)))
    try:
        sock.sendall(_LENGTH.pack(len(body)) + body)
        if fd is not None:
            socket.send_fds(sock, [b"F"], [fd])
    except BlockingIOError:
        raise SlowError(f"nothing was taken for {timeout or 0:.1f} s") from None
    except OSError as error:
        raise ClosedError(str(error)) from None


def _split(seconds: float) -> tuple[int, int]:
    """Whole seconds and microseconds; never none of both, which would mean to wait for ever."""
    return int(seconds), max(int(seconds % 1 * 1e6), 1)


def receive_fd(sock: socket.socket) -> int:
    """The file descriptor behind a frame."""
    _, fds, _, _ = socket.recv_fds(sock, 1, 1)
    if not fds:
        raise ClosedError("no file descriptor came with the message")
    return fds[0]


def receive(sock: socket.socket, limit: int, timeout: float | None = None) -> bytes:
    """The next frame of at most `limit` bytes. ClosedError at the end, or for a longer frame; SlowError after
    `timeout` seconds of silence."""
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size, timeout))
    if length > limit:
        raise ClosedError(f"a frame of {length} bytes, {limit} are allowed")
    return _exactly(sock, length, timeout)


def _exactly(sock: socket.socket, count: int, timeout: float | None) -> bytes:
    parts = bytearray()
    ready = select.poll()  # and not select(2), which knows descriptors up to 1023 only
    ready.register(sock, select.POLLIN)
    while len(parts) < count:
        if timeout is not None and not ready.poll(timeout * 1e3):
            raise SlowError(f"no answer for {timeout:.1f} s")
        try:
            chunk = sock.recv(min(count - len(parts), 1 << 20))
        except OSError as error:
            raise ClosedError(str(error)) from None
        if not chunk:
            raise ClosedError("the connection was closed")
        parts += chunk
    return bytes(parts)


class Reply(msgspec.Struct, array_like=True):
    """The child's answer. `error` is "" for success; `kind` names the class of the failure."""

    error: str = ""
    kind: str = ""
    value: Any = None


ENCODE = msgspec.msgpack.Encoder().encode
DECODE = msgspec.msgpack.Decoder(Reply).decode
