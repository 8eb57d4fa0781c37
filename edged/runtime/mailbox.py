"""The queue in front of a device: by priority, then earliest deadline, then first come.

Any thread posts; the device's thread takes. heappush and heappop are one C call each, and so atomic under the
interpreter lock; the SimpleQueue beside the heap only wakes the taker.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from time import monotonic

from edged.runtime.request import Request

_Entry = tuple[int, float, int, Request | None]


class Mailbox:
    """At most `limit` requests wait; `post` says no when it is full."""

    __slots__ = ("_heap", "_serial", "_wake", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heap: list[_Entry] = []
        self._serial = count()
        self._wake: SimpleQueue[None] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._heap)

    def post(self, request: Request, *, force: bool = False) -> bool:
        """Queues `request`; False when the mailbox is full. `force`: a request that has been let in
        already."""
        if len(self._heap) >= self.limit and not force:
            return False
        priority, deadline = request.order
        heappush(self._heap, (priority, deadline, next(self._serial), request))
        self._wake.put(None)
        return True

    def close(self) -> None:
        """Makes the taker get None once everything that is waiting has been taken."""
        heappush(self._heap, (1 << 30, 0.0, next(self._serial), None))
        self._wake.put(None)

    def take(self, timeout: float | None = None) -> Request | None:
        """Waits for the next request; None when the mailbox was closed. queue.Empty after `timeout`
        seconds."""
        self._wake.get(timeout=timeout)
        return heappop(self._heap)[3]

    def take_matching(self, session_key: object, most: int) -> list[Request]:
        """Up to `most` more requests of the same model, for a batch, out of order but none twice."""
        taken: list[Request] = []
        for entry in sorted(self._heap):
            request = entry[3]
            if len(taken) >= most:
                break
            if request is None or request.step or request.binding.loaded is not session_key:
                continue
            try:
                self._wake.get_nowait()
            except Empty:
                break
            self._heap.remove(entry)
            taken.append(request)
        if taken:
            heapify(self._heap)
        return taken

    def gather_matching(self, session_key: object, most: int, until: float) -> list[Request]:
        """As take_matching, and waits for more of them until that time; not while anything else waits."""
        taken = self.take_matching(session_key, most)
        while len(taken) < most and not self._heap and (left := until - monotonic()) > 0:
            try:
                self._wake.get(timeout=left)
            except Empty:
                break
            self._wake.put(None)  # what has come is still there to be taken
            taken += self.take_matching(session_key, most - len(taken))
        return taken
