"""The join of the store of versions and the registry of models: what is active in one serves in the other.

Swaps are the registry's: requests in flight end on the old version. The order is always the same: what has to
be true after a crash is committed first.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from time import time

from edged.config import Config, ModelConfig, key_folders
from edged.daemon.trial import Verdict, demand_changes
from edged.errors import EdgedError
from edged.models.blobs import Blobs
from edged.models.errors import BlobError, StoreError
from edged.models.kept import kept_source
from edged.models.states import State
from edged.models.store import Record, Store
from edged.models.watch import Figures, Limits, verdict
from edged.runtime.entry import Entry
from edged.runtime.errors import MemoryLimitError
from edged.runtime.house import House
from edged.source import Source
from edged_ipc.codes import Code

OWN_FAULTS = (
    Code.BACKEND_FAILED,
    Code.BACKEND_HUNG,
    Code.INTERNAL,
    Code.BAD_MODEL,
    Code.UNSUPPORTED,
    Code.OUT_OF_MEMORY,
)
"""Results that may be the version's fault; a client's bad input or missed deadline is not."""


@dataclass(slots=True)
class Probation:
    """A version being watched: the counts when it began, and the figures of the version before it."""

    record: Record
    good: int
    failed: int
    before: Figures


class Serving:
    """Brings versions into service and out of it again. `guard` lets one thread at a
    time."""

    def __init__(
        self, house: House, config: Config, store: Store, blobs: Blobs, log: Callable[[str], None]
    ) -> None:
        self.house, self.config, self.store, self.blobs, self.log = house, config, store, blobs, log
        self.watched: dict[str, Probation] = {}
        self.guard = threading.RLock()

    def source(self, record: Record) -> Source:
        """The version as the registry reads it."""
        return kept_source(self.blobs, record.manifest, key_folders(self.config))

    def load_active(self) -> None:
        """At the daemon's start: every active version. One on probation that ended the daemon too often, or
        that cannot be loaded any more, gives way to the one before it."""
        with self.guard:
            for record in self.store.records():
                if record.state is State.ACTIVE and record.model not in self.house.registry.entries:
                    self._load_active(record)

    def _load_active(self, record: Record) -> None:
        on_probation = record.watch_until > 0
        if on_probation and not self._counted(record):
            self._instead(record)
            return
        try:
            self._serve(record)
        except BlobError as error:
            self.blobs.path(record.manifest.file.sha256).unlink(missing_ok=True)
            self.log(f"model {record.model} {record.version} is fetched again: {error}")
        except EdgedError as error:
            if on_probation:
                self.store.fail(record, f"it cannot be loaded: {error}", time())
                self._instead(record)
            else:
                self.log(f"model {record.model} {record.version} is not loaded: {error}")
        else:
            if on_probation:
                self._watch(record, Figures(0, 0, 0.0, 0))

    def _counted(self, record: Record) -> bool:
        """False when the version has used up its attempts. A disk that takes no count keeps nothing from
        serving."""
        try:
            return self.store.begin_watch(record, time())
        except StoreError as error:
            self.log(f"model {record.model} {record.version}: {error}")
            return True

    def _instead(self, record: Record) -> None:
        """Loads what the store says now, after `record` has been rolled back."""
        other = self.store.active(record.model)
        why = self.store.record(record.model, record.version).reason
        self.log(f"model {record.model} {record.version} is rolled back: {why}")
        if other is not None:
            try:
                self._serve(other)
            except EdgedError as error:
                self.log(f"model {other.model} {other.version} is not loaded: {error}")

    def _serve(self, record: Record, *, force: bool = False) -> Entry:
        """The registry serves this version from now on."""
        registry, name = self.house.registry, record.model
        if name in registry.entries:
            demand = self.house.demand(**demand_changes(self.config, name))
            return registry.swap(name, self.source(record), demand, force=force)
        table = next((m for m in self.config.model if m.name == name), ModelConfig())
        return self.house.load(
            name, self.source(record), keep=table.keep, priority=table.priority,
            batch_wait=table.batch_wait_us / 1e6, **demand_changes(self.config, name),
        )  # fmt: skip

    def promote(self, record: Record, found: Verdict) -> bool:
        """A candidate whose trial was good: swapped in, then committed as active, then watched. False, and
        rolled back, when it cannot be swapped in: the old version serves on. MemoryLimitError leaves all as
        it was."""
        with self.guard:
            return self._promote(record, found)

    def _promote(self, record: Record, found: Verdict) -> bool:
        entry = self.house.registry.entries.get(record.model)
        before = _figures(entry) if entry is not None else Figures(0, 0, 0.0, 0)
        try:
            self._serve(record)
        except MemoryLimitError:
            raise  # of the moment: models in use leave too little for two versions at once
        except EdgedError as error:
            self.store.fail(record, f"it passed its trial and cannot be swapped in: {error}", time())
            self.log(f"model {record.model} {record.version} is rolled back: {error}")
            return False
        until = time() + self.config.updates.watch_seconds if self.config.updates.watch_seconds else 0.0
        self.store.succeed(record, time(), until)
        took, on = f"{found.median_us:.0f} us", "+".join(found.used)
        self.log(f"model {record.model} {record.version} serves (golden cases took {took} on {on})")
        record = self.store.record(record.model, record.version)
        if until:
            self._watch(record, before)
        else:
            self.store.settle(record, time())
        return True

    def _watch(self, record: Record, before: Figures) -> None:
        """Counts begin anew; so do the latencies, of which only the latest are kept anyway."""
        entry = self.house.registry.entries[record.model]
        with entry.guard:
            entry.figures.latencies, entry.figures.at = array("d"), 0
        now = _figures(entry)
        self.watched[record.model] = Probation(record, now.good, now.failed, before)

    def look(self) -> None:
        """Judges the versions on probation; called every second or so while there are any."""
        with self.guard:
            self._look()

    def _look(self) -> None:
        limits = Limits(self.config.updates.watch_errors, self.config.updates.watch_slowdown)
        for model, probation in list(self.watched.items()):
            entry = self.house.registry.entries.get(model)
            if entry is None:
                del self.watched[model]
                continue
            now = _figures(entry)
            since = Figures(
                now.good - probation.good, now.failed - probation.failed, now.median_us, now.samples
            )
            reason = verdict(since, probation.before, limits)
            if reason:
                del self.watched[model]
                self._roll_back(probation.record, reason)
            elif time() >= probation.record.watch_until:
                del self.watched[model]
                self.store.settle(probation.record, time())
                self.log(f"model {model} {probation.record.version} has done well")

    def _roll_back(self, record: Record, reason: str) -> Record | None:
        """The version before it serves again, if there is one; else this one stays, with the reason kept."""
        if not any(r.state is State.RETIRED for r in self.store.records(record.model)):
            self.log(f"model {record.model} {record.version}: {reason}; there is no version before it")
            self.store.settle(record, time(), f"kept, as no version is before it: {reason}")
            return None
        other = self.store.fail(record, reason, time())
        self.log(f"model {record.model} {record.version} is rolled back: {reason}")
        if other is not None:
            self._serve(other, force=True)
        return other

    def roll_back(self, model: str) -> Record:
        """An operator's wish. StoreError when there is nothing to go back to."""
        record = self.store.active(model)
        if record is None:
            raise StoreError(f"model {model!r} is not one from updates", remedy="see `edged models`")
        with self.guard:
            self.watched.pop(model, None)
            other = self._roll_back(record, "by the operator")
        if other is None:
            raise StoreError(f"model {model!r} has no version before {record.version} on this device")
        return other


def _figures(entry: Entry) -> Figures:
    """The entry's counts as they are now."""
    counts = entry.figures.by_code
    failed = sum(counts.get(code, 0) for code in OWN_FAULTS)
    return Figures(
        counts.get(Code.OK, 0), failed, entry.figures.percentile(0.5), len(entry.figures.latencies)
    )
