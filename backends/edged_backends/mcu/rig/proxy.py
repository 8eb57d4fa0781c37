"""A serial line that can be made bad: a pseudo-terminal on one side, a board's socket on the other.

Seeded, so a run can be repeated byte for byte as long as the reads split alike. Unplugging closes the
terminal as pulling a USB adapter does; the path that programs open is a link, which points to the new
terminal after plugging in, as udev's links do.
"""

from __future__ import annotations

import os
import pty
import random
import selectors
import socket
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TypeVar

CHUNK = 4096
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of bytes that are dropped, flipped (one bit) and doubled, in both directions. `baud` paces the
    line (10 bits a byte); 0 leaves it as quick as it is."""

    drop: float = 0.0
    flip: float = 0.0
    double: float = 0.0
    baud: int = 0

    def apply(self, data: bytes, seed: random.Random) -> bytes:
        """What arrives of `data`."""
        if not (self.drop or self.flip or self.double):
            return data
        out = bytearray()
        for byte in data:
            roll = seed.random()
            if roll < self.drop:
                continue
            if roll < self.drop + self.flip:
                byte ^= 1 << seed.randrange(8)
            out.append(byte)
            if 1.0 - roll < self.double:
                out.append(byte)
        return bytes(out)


@dataclass(slots=True)
class _Way:
    """One direction: what waits to be written, and when the line is free for it."""

    waiting: bytearray = field(default_factory=bytearray)
    free: float = 0.0
    passed: int = 0


class Proxy:
    """Joins `link` (a path that a serial port is opened by) and a board's byte stream. `faults` may be
    changed at any time."""

    def __init__(self, link: Path, seed: int = 0) -> None:
        self.link = link
        self.faults = Faults()
        self._random = random.Random(seed)
        self._master = self._slave = -1
        self._board: socket.socket | None = None
        self._to_board, self._to_host = _Way(), _Way()
        self._wake, self._ring = socket.socketpair()
        self._lock = threading.RLock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="rig:proxy", daemon=True)
        self._thread.start()

    @property
    def passed(self) -> tuple[int, int]:
        """Bytes that went to the board, and from it: of all that anyone has read by now."""
        with self._lock:
            return self._to_board.passed, self._to_host.passed

    def plug(self) -> None:
        """A fresh terminal behind the link."""
        self.unplug()
        with self._changing():
            self._master, self._slave = pty.openpty()
            tty.setraw(self._slave)  # kept open: a terminal without any reader would hang up
            os.set_blocking(self._master, False)
            fresh = self.link.with_name(self.link.name + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.ttyname(self._slave))
            fresh.replace(self.link)

    def unplug(self) -> None:
        """Takes the terminal away; who has it open gets an error."""
        with self._changing():
            self.link.unlink(missing_ok=True)
            for fd in (self._master, self._slave):
                if fd >= 0:
                    os.close(fd)
            self._master = self._slave = -1
            self._to_host.waiting.clear()

    def attach(self, board: socket.socket | None) -> None:
        """The board's end; None when it is off."""
        with self._changing():
            if self._board is not None:
                self._board.close()
            if board is not None:
                board.setblocking(False)
            self._board = board
            self._to_board.waiting.clear()

    def close(self) -> None:
        self._closed = True
        self._changing().leave()
        self._thread.join(5)
        self.unplug()
        self.attach(None)
        self._wake.close()
        self._ring.close()

    def _changing(self) -> _Changing:
        return _Changing(self._lock, self._ring)

    def _loop(self) -> None:
        while not self._closed:
            with selectors.PollSelector() as wait:  # (needs no descriptor: others may be counting theirs)
                with self._lock:
                    master, board = self._master, self._board
                    pause = self._register(wait, master, board)
                for key, _ in wait.select(pause):
                    if key.fileobj is self._wake:
                        self._wake.recv(CHUNK)
                with self._lock:
                    if master != self._master or board is not self._board:
                        continue
                    self._pass(master, board)

    def _register(self, wait: selectors.BaseSelector, master: int, board: socket.socket | None) -> float:
        """Waits for what can go on now; the seconds until a paced line is free again."""
        wait.register(self._wake, selectors.EVENT_READ)
        pause, now = 1.0, monotonic()
        ends = [(master, self._to_board, self._to_host)] if master >= 0 else []
        both: list[tuple[int | socket.socket, _Way, _Way]] = [*ends]
        if board is not None:
            both.append((board, self._to_host, self._to_board))
        for end, taken, given in both:
            events = selectors.EVENT_READ if len(taken.waiting) < CHUNK else 0
            if given.waiting and given.free <= now:
                events |= selectors.EVENT_WRITE
            elif given.waiting:
                pause = min(pause, given.free - now)
            if events:
                wait.register(end, events)
        return pause

    def _pass(self, master: int, board: socket.socket | None) -> None:
        if master >= 0:
            data = _attempt(lambda: os.read(master, CHUNK)) if len(self._to_board.waiting) < CHUNK else b""
            self._take(data or b"", self._to_board, board is not None)
            self._give(self._to_host, lambda piece: os.write(master, piece))
        if board is not None:
            here = board
            data = _attempt(lambda: here.recv(CHUNK)) if len(self._to_host.waiting) < CHUNK else None
            if data == b"":
                self.attach(None)  # the board's process has ended
                return
            self._take(data or b"", self._to_host, master >= 0)
            self._give(self._to_board, here.send)

    def _take(self, data: bytes, way: _Way, wanted: bool) -> None:
        if data and wanted:
            way.waiting += self.faults.apply(data, self._random)

    def _give(self, way: _Way, write: Callable[[bytes], int]) -> None:
        now, baud = monotonic(), self.faults.baud
        if not way.waiting or way.free > now:
            return
        piece = bytes(way.waiting[: max(1, baud // 1000) if baud else CHUNK])
        written = _attempt(lambda: write(piece)) or 0
        del way.waiting[:written]
        way.passed += written
        way.free = max(way.free, now - 0.02) + written * 10 / baud if baud else now


class _Changing:
    """The lock, and a wake-up of the loop behind it."""

    def __init__(self, lock: threading.RLock, ring: socket.socket) -> None:
        self._lock, self._ring = lock, ring

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.leave()
        self._lock.release()

    def leave(self) -> None:
        with suppress(OSError):
            self._ring.send(b"!")


def _attempt(call: Callable[[], T]) -> T | None:
    """The result, or None where the end is not ready or just went away."""
    try:
        return call()
    except OSError:
        return None
