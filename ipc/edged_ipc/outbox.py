"""The way out of a connection on the daemon's side: a non-blocking socket that any thread may write to.

A device's thread writes its answer on the socket itself, which saves a hop to the polling thread. Only what
the kernel does not take at once waits here. While much of it waits, the peer's further frames are not read; a
peer that takes nothing for a while is given up.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Lock

from edged_ipc.poll import IN, OUT, Poll

_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
PAUSE = 1 << 16
"""Bytes that wait when reading the peer's frames is put off; answers to what was read may still come."""


class Outbox:
    """`most` bounds the bytes that wait for a peer that does not read, `seconds` the time that it takes none
    of them. Beyond either `given_up` is called once, on the polling thread, and what is written goes
    nowhere."""

    __slots__ = (
        "_fd", "_given_up", "_lock", "_mask", "_poll", "_reading", "_seconds", "_sock", "_taken", "_waiting",
        "_watched", "closed", "most",
    )  # fmt: skip

    def __init__(
        self, sock: socket.socket, poll: Poll, most: int, seconds: float, given_up: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._poll = poll
        self._seconds = seconds
        self._given_up = given_up
        self._lock = Lock()
        self._waiting = bytearray()
        self._taken = 0
        self._reading = self._mask = IN
        self._watched = False
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
                    self._poll.post(self._given_up)
                    return
                waiting += data
                return self._watch()
            try:
                sent = self._sock.send(data, _FLAGS)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # the peer has gone: the polling thread hears of it by itself
            if sent < len(data):
                waiting += data[sent:]
                self._watch()
                if not self._watched:
                    self._watched = True
                    self._poll.post(self._wait)

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
            self._taken += sent
            self._watch()

    def _watch(self) -> None:
        """Asks the kernel for what is of use now: room while something waits, frames unless much does."""
        unsent = len(self._waiting)
        mask = (OUT if unsent else 0) | (self._reading if unsent <= PAUSE else 0)
        if mask != self._mask:
            self._mask = mask
            self._poll.change(self._fd, mask)

    def _wait(self) -> None:
        """Polling thread: looks again after a while whether anything of what waits now was taken."""
        taken = self._taken

        def look() -> None:
            with self._lock:
                self._watched = bool(self._waiting) and not self.closed
                stuck = self._watched and self._taken == taken
                self.closed = self.closed or stuck
            if stuck:
                self._given_up()
            elif self._watched:
                self._wait()

        self._poll.later(self._seconds, look)

    def stop_reading(self) -> None:
        """Lets the peer's further frames wait in the kernel."""
        with self._lock:
            self._reading = 0
            if not self.closed:
                self._watch()

    def close(self) -> None:
        """Closes the socket; what still waits is lost."""
        with self._lock:
            self.closed = True
            self._waiting.clear()
            self._poll.remove(self._fd)
            self._sock.close()
