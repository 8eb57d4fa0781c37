"""Candidates and their trials: which may be tried now, what their verdicts mean, and what only has to wait.

A verdict about the version is for ever; what is about this moment (a device that is not there, memory that is
in use, a daemon being stopped) costs it no attempt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic, time

from edged.config import Config
from edged.daemon.children import Children, StoppedError
from edged.daemon.serving import Serving
from edged.daemon.trial import Candidate, Verdict, judge
from edged.models.errors import TrialError
from edged.models.store import Record
from edged.runtime.errors import MemoryLimitError
from edged.runtime.house import House

HOLD_SECONDS = 60.0


class Trying:
    """Used by the thread of `Updates`. `waiting`: model -> why its candidate waits; `hold`: until when, by
    time.monotonic."""

    def __init__(
        self, house: House, config: Config, serving: Serving, children: Children, log: Callable[[str], None]
    ) -> None:
        self.house, self.config, self.serving, self.children = house, config, serving, children
        self.store, self.log = serving.store, log
        self.waiting: dict[str, str] = {}
        self.hold = 0.0

    def due(self) -> list[Record]:
        """Candidates that may be tried now."""
        return self.store.candidates() if monotonic() >= self.hold else []

    def all(self, candidates: list[Record]) -> None:
        """One attempt at each. A StoppedError ends it."""
        self.waiting.clear()
        for record in candidates:
            self.one(record)

    def one(self, record: Record) -> None:
        """One attempt at a candidate, counted before it is made. Left in trial when its process crashed: the
        next turn tries again, until the attempts are used up."""
        up = {d.name for d in self.house.devices if d.up}
        missing = [b for b in record.manifest.backends if b not in up]
        if missing:
            self._wait(record, f"it needs the backend {missing[0]!r}, up here: {', '.join(sorted(up))}")
            return
        if not self.store.begin_trial(record, time()):
            reason = self.store.record(record.model, record.version).reason
            self.log(f"model {record.model} {record.version} is barred: {reason}")
            return
        try:
            self._judged(record, self._verdict(record, up))
        except StoppedError:
            self.store.give_back(record, time())
            raise
        except MemoryLimitError as error:
            self.store.give_back(record, time())
            self._wait(record, str(error))
        except TrialError as error:
            self.log(f"model {record.model} {record.version}: {error}")

    def _wait(self, record: Record, why: str) -> None:
        """Tried again later; all candidates are, which there are seldom two of."""
        self.log(f"model {record.model} {record.version} waits: {why}")
        self.waiting[record.model] = why
        self.hold = monotonic() + HOLD_SECONDS

    def _judged(self, record: Record, found: Verdict) -> None:
        name = f"model {record.model} {record.version}"
        if found.late and not record.attempts:
            self.log(f"{name} is tried again, not yielding: {found.reason}")
        elif found.reason:
            self.store.fail(record, found.reason, time())
            self.log(f"{name} is rolled back: {found.reason}")
        else:
            self.serving.promote(record, found)

    def _verdict(self, record: Record, up: set[str]) -> Verdict:
        """Tried in a child of its own, which yields to clients' requests the first time; then, where the
        daemon holds devices that could not be opened a second time, on those, which are isolated processes of
        their own."""
        root = self.store.root
        first = record.attempts == 0
        candidate = Candidate(str(root), record.model, record.version, record.document, first, os.getpid())
        found = self.children.trial(self.config, candidate, self.config.updates.trial_seconds)
        if not found.reason and up - set(found.devices):
            found = judge(self.house, root, candidate, f"{record.model}@{record.version}")
        return found
