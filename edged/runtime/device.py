"""A device is an actor: a mailbox, a thread, and a backend that only this thread runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

from edged.backend import Backend
from edged.runtime.mailbox import Mailbox
from edged.runtime.request import Request

Serve = Callable[["Device", Request], None]
Running = tuple[Request, int, float, tuple[tuple[Request, int], ...]]
"""What a device is at: a request, its epoch, since when, and further requests of its batch with theirs."""


class DeviceState(StrEnum):
    """up: serves. down: raised an error, waits for a probe. hung: its thread does not come back. closed: for
    good."""

    UP = "up"
    DOWN = "down"
    HUNG = "hung"
    CLOSED = "closed"


@dataclass(slots=True)
class DeviceCounters:
    """What has happened on a device since the daemon started."""

    runs: int = 0
    failures: int = 0
    hangs: int = 0
    probes: int = 0
    readmissions: int = 0
    busy_seconds: float = 0.0


class Device:
    """`serve` runs one step of a request on the device's thread. `running` says which while it does.

    A thread that hangs cannot be ended: `restart` leaves it behind with its generation, and starts another.
    `claim` is held while a step's outputs are handed over, and while a request is taken away; `turn` while a
    step runs.
    """

    def __init__(self, name: str, backend: Backend, serve: Serve, queue_length: int) -> None:
        self.name = name
        self.backend = backend
        self.state = DeviceState.UP
        self.reason = ""
        self.counters = DeviceCounters()
        self.mailbox = Mailbox(queue_length)
        self.running: Running | None = None
        self.heartbeat = monotonic()
        self.generation = 0
        self.claim = threading.Lock()
        self.turn = threading.Lock()
        self._serve = serve
        self._thread = self._start()

    def _start(self) -> threading.Thread:
        thread = threading.Thread(
            target=self._loop, args=(self.generation,), name=f"edged:{self.name}"[:15], daemon=True
        )
        thread.start()
        return thread

    def _loop(self, generation: int) -> None:
        take, serve = self.mailbox.take, self._serve
        request: Request | None
        while (request := take()) is not None:
            if generation != self.generation:
                self.mailbox.post(request, force=True)  # this thread was given up on: its successor serves
                return
            with self.turn:
                serve(self, request)
            request = None  # while this thread waits, it keeps nobody's memory mapped
            self.heartbeat = monotonic()
            if generation != self.generation:
                return

    def direct(self, request: Request) -> bool:
        """Serves a request at once, on the caller's thread, if the device is idle; two thread switches
        less."""
        if len(self.mailbox) or not self.turn.acquire(blocking=False):
            return False
        try:
            self._serve(self, request)
        finally:
            self.turn.release()
        return True

    def ran(self, running: Running) -> None:
        """A run has ended. (When its thread was given up on, its successor may be at another one.)"""
        if self.running is running:
            self.running = None

    def restart(self) -> None:
        """Gives up on the thread (it hangs) and starts another."""
        self.generation += 1
        self.running = None
        self.turn = threading.Lock()  # the thread that hangs keeps the old one
        self._thread = self._start()

    @property
    def up(self) -> bool:
        return self.state is DeviceState.UP

    def close(self, timeout: float = 2.0) -> None:
        """Ends the thread after what is queued, and releases the backend if the thread has ended."""
        self.state = DeviceState.CLOSED
        self.mailbox.close()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self.backend.close()
