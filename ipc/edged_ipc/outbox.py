"""The way out of a connection on the daemon's side: a non-blocking socket that any thread may write to.

A device's thread writes its answer on the socket itself, which saves a hop to the polling thread; only what
the kernel does not take
at once waits here, and no more of it than a bound.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Lock

from edged_ipc.poll import IN, OUT, Poll

_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class Outbox:
    """`most` bounds the bytes that wait for a peer that does not read; beyond it `overflowed` is called once,
    on the polling thread, and what is written goes nowhere."""

    __slots__ = ("_fd", "_lock", "_overflowed", "_poll", "_reading", "_sock", "_waiting", "closed", "most")

    def __init__(self, sock: socket.socket, poll: Poll, most: int, overflowed: Callable[[], None]) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._poll = poll
        self._overflowed = overflowed
        self._lock = Lock()
        self._waiting = bytearray()
        self._reading = IN
        self.most = most
        self.closed = False

    @property
    def unsent(self) -> int:
        return len(self._waiting)

    def write(self, data: bytes) -> None:
        """Sends `data`, or keeps what does not go out now. Any thread; frames are never mixed."""
        with self._lock:
            if self.closed:
                return
            waiting = self._waiting
            if waiting:
                if len(waiting) > self.most:
                    self.closed = True
                    self._poll.post(self._overflowed)
                    return
                waiting += data
                return
            try:
                sent = self._sock.send(data, _FLAGS)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the peer has gone: the polling thread hears of it by itself
            if sent < len(data):
                waiting += data[sent:]
                self._poll.change(self._fd, self._reading | OUT)

    def flush(self) -> None:
        """The socket takes more: sends what waits."""
        with self._lock:
            if self.closed or not self._waiting:
                return
            try:
                with memoryview(self._waiting) as view, view[: 1 << 20] as part:
                    sent = self._sock.send(part, _FLAGS)
            except BlockingIOError:
                return
            except OSError:
                sent = len(self._waiting)
            del self._waiting[:sent]
            if not self._waiting:
                self._poll.change(self._fd, self._reading)

    def stop_reading(self) -> None:
        """Lets the peer's further frames wait in the kernel."""
        with self._lock:
            self._reading = 0
            if not self.closed:
                self._poll.change(self._fd, OUT if self._waiting else 0)

    def close(self) -> None:
        """Closes the socket; what still waits is lost."""
        with self._lock:
            self.closed = True
            self._waiting.clear()
            self._poll.remove(self._fd)
            self._sock.close()
