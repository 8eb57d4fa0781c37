"""One model's place in the registry: the version that serves, those that drain, who uses it, and its
figures."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

from edged.runtime.loaded import Loaded
from edged.runtime.loading import Demand
from edged.runtime.parity import ParityFigures
from edged.runtime.request import Request
from edged.source import Source
from edged_ipc.codes import Code

_WINDOW = 1024


class EntryState(StrEnum):
    """loading: not ready yet. ready: serves. evicted: read again on demand. moving: its steps are being
    placed anew. failed: says why."""

    LOADING = "loading"
    READY = "ready"
    MOVING = "moving"
    EVICTED = "evicted"
    FAILED = "failed"


@dataclass(slots=True)
class Figures:
    """Counts by result, and the latest latencies in microseconds."""

    by_code: dict[Code, int] = field(default_factory=dict)
    retries: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    at: int = 0

    def count(self, code: Code, microseconds: float) -> None:
        self.by_code[code] = self.by_code.get(code, 0) + 1
        if code is not Code.OK:
            return
        if len(self.latencies) < _WINDOW:
            self.latencies.append(microseconds)
        else:
            self.latencies[self.at] = microseconds
            self.at = (self.at + 1) % _WINDOW

    def percentile(self, share: float) -> float:
        """Latency that `share` of the latest requests stayed below; 0 before the first."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Entry:
    """`guard` protects the counts; `current` is replaced whole, never changed. `leases` counts open client
    sessions. `changing` is held by who makes another version, or the same one on other devices."""

    def __init__(
        self,
        name: str,
        source: Source,
        demand: Demand,
        *,
        keep: bool = False,
        priority: int = 16,
        batch_wait: float = 0.0,
    ) -> None:
        self.name = name
        self.source = source
        self.demand = demand
        self.keep = keep
        self.priority = priority
        self.batch_wait = batch_wait
        self.state = EntryState.LOADING
        self.reason = ""
        self.version = 0
        self.current: Loaded | None = None
        self.draining: list[Loaded] = []
        self.parked: list[Request] = []
        self.leases = 0
        self.last_used = monotonic()
        self.figures = Figures()
        self.parity = ParityFigures()
        self.avoid: frozenset[str] = frozenset()
        self.guard = threading.Lock()
        self.changing = threading.RLock()
        self.drained: Callable[[Entry, Loaded], None] = lambda _entry, _loaded: None

    @property
    def resident_bytes(self) -> int:
        return sum(x.resident_bytes for x in (self.current, *self.draining) if x is not None)

    @property
    def in_use(self) -> bool:
        busy = self.current is not None and self.current.in_flight > 0
        return self.leases > 0 or busy or bool(self.draining) or bool(self.parked)

    def begin(self) -> Loaded | None:
        """A request starts on the serving version, which stays open until it has left; None when there is
        none."""
        with self.guard:
            if self.current is not None:
                self.current.in_flight += 1
            return self.current

    def lease(self) -> None:
        """A session is opened: the model is not evicted before it gives the lease back."""
        with self.guard:
            self.leases += 1

    def evict(self) -> Loaded | None:
        """Takes away the serving version, if nobody uses it."""
        with self.guard:
            old = self.current
            if old is None or self.leases or old.in_flight or self.draining or self.parked:
                return None
            self.current, old.retired, self.state = None, True, EntryState.EVICTED
            return old

    def leave(self, loaded: Loaded) -> None:
        """A request is done with `loaded`; the last one of a retired version lets it go."""
        with self.guard:
            loaded.in_flight -= 1
            last = loaded.retired and loaded.in_flight == 0
        if last:
            self.drained(self, loaded)

    def ended(self, request: Request, code: Code) -> None:
        """Counts a finished request."""
        now = monotonic()
        self.last_used = now
        self.leave(request.binding.loaded)
        with self.guard:
            self.figures.count(code, (now - request.posted) * 1e6)

    def replace(self, new: Loaded | None) -> Loaded | None:
        """Makes `new` the serving one and retires the old; returns the old one if nothing runs on it any
        more."""
        with self.guard:
            old, self.current = self.current, new
            if old is None:
                return None
            old.retired = True
            if old.in_flight == 0:
                return old
            self.draining.append(old)
            return None
