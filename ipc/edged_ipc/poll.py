"""The thread that watches sockets: epoll, and an eventfd through which other threads ask for something.

Written out instead of taken from asyncio since it stands on the way of every request: one wake-up costs a few
microseconds less here.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from time import monotonic

IN, OUT = select.EPOLLIN, select.EPOLLOUT
Ready = Callable[[int], None]


class Poll:
    """File descriptors and what to call, with the epoll mask, when they are ready. `post` and `change` may be
    called from any thread, the rest from the polling thread."""

    def __init__(self, report: Callable[[str, BaseException], None]) -> None:
        self._report = report
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ready: dict[int, Ready] = {self._wake: self._run_posted}
        self._posted: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = count()
        self._stopped = False
        self._epoll.register(self._wake, IN)

    def add(self, fd: int, mask: int, ready: Ready) -> None:
        self._ready[fd] = ready
        self._epoll.register(fd, mask)

    def change(self, fd: int, mask: int) -> None:
        self._epoll.modify(fd, mask)

    def remove(self, fd: int) -> None:
        """Forgets `fd`, which must still be open."""
        del self._ready[fd]
        self._epoll.unregister(fd)

    def post(self, call: Callable[[], None]) -> None:
        """Has `call` run on the polling thread soon."""
        self._posted.append(call)
        os.eventfd_write(self._wake, 1)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Has `call` run in about `seconds`. Polling thread only."""
        heappush(self._timers, (monotonic() + seconds, next(self._serial), call))

    def run(self) -> None:
        """Until `stop`. What a callback raises is reported, and does not end the thread."""
        poll, ready = self._epoll.poll, self._ready
        while not self._stopped:
            for fd, mask in poll(self._timeout() if self._timers else -1, 64):
                call = ready.get(fd)
                if call is None:
                    continue  # removed by a callback before it in this round
                try:
                    call(mask)
                except Exception as error:
                    self._report("a connection's callback failed", error)
        self._epoll.close()

    def __del__(self) -> None:
        os.close(self._wake)  # not before: a late answer may still post

    def stop(self) -> None:
        """Ends `run`, after what is posted before."""
        self.post(self._stop)

    def _stop(self) -> None:
        self._stopped = True

    def _timeout(self) -> float:
        now = monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._guarded(heappop(self._timers)[2])
        return max(self._timers[0][0] - now, 0.0) + 0.001 if self._timers else -1

    def _run_posted(self, _mask: int) -> None:
        os.eventfd_read(self._wake)
        for _ in range(len(self._posted)):
            self._guarded(self._posted.popleft())

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._report("a posted call failed", error)
