"""What this device knows about versions, floors and pins: one SQLite file, and one transaction for each step.

A transaction, synchronous, is the commit point of everything in `edged.models`: bytes are durable
before a row names them, an attempt is counted before it is risked. Several processes may open the store (the
daemon and its updater child); `lock` keeps all but one updater out.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edged.models.durable import disk, make_folder, sync_folder
from edged.models.errors import StoreError
from edged.models.manifest import Manifest, decode_manifest, encode
from edged.models.points import reach
from edged.models.states import ATTEMPTS, KEPT, Event, State, step
from edged.models.trust import Floors

SCHEMA = """
CREATE TABLE IF NOT EXISTS floor (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS pin (model TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS version (
    model TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, watch_until REAL NOT NULL DEFAULT 0,
    manifest BLOB NOT NULL, PRIMARY KEY (model, version)) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_active ON version (model) WHERE state = 'active';
"""
LAYOUT = 1
"""Goes up when SCHEMA changes in a way that an older edged would misread."""
SYNCHRONOUS = "EXTRA"
"""FULL, and the journal's end is durable, too. No write-ahead log: its index is mapped memory, and a disk
that is full gives SIGBUS there, which would end the daemon (test_disk_faults)."""
HISTORY = 50
"""Versions rolled back are remembered for ever (they are barred); of those retired, this many per model."""


@dataclass(frozen=True, slots=True)
class Record:
    """One version on this device. `changed`, `watch_until`: seconds since 1970; 0 for not watched."""

    model: str
    version: int
    state: State
    attempts: int
    reason: str
    changed: float
    watch_until: float
    document: bytes

    @property
    def manifest(self) -> Manifest:
        """The signed manifest that it came with."""
        return decode_manifest(self.document, self.model, self.version)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=TRUNCATE")
        database.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found > LAYOUT:
            text = f"{path} has layout {found}, this edged knows {LAYOUT}"
            raise StoreError(text, remedy="install the newer edged again")
        if found < LAYOUT:
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {LAYOUT}; COMMIT;")
    except BaseException:
        database.close()
        raise
    return database


class Store:
    """The store below `root`. StoreError says why it cannot be opened, read or written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "store.db"
        self._guard = threading.RLock()
        self._read_only = False
        with disk(f"opening {root}"):
            make_folder(root)
            fresh = not self.path.exists()
        with self._sql("opening it"):
            self._database = _connect(self.path)
        if fresh:
            with disk(f"opening {root}"):
                sync_folder(root)

    def close(self) -> None:
        """Lets the file go."""
        self._database.close()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The right to update. StoreError when another process has it; ends with the process."""
        with disk(f"locking {self.root}"):
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(
                    "another update is under way", remedy="wait until it has ended (`edged models`)"
                ) from None
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _sql(self, what: str) -> Iterator[None]:
        try:
            with self._guard:
                yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            self._read_only = self._read_only or "readonly" in text
            remedy = (
                f"move {self.path}* away; models are then fetched anew, and floors start again"
                if "malformed" in text or "not a database" in text
                else "free some space, or make the folder writable"
            )
            raise StoreError(f"{self.path}: {what}: {text}", remedy=remedy) from error

    @contextmanager
    def _change(self, name: str) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is durable when the block has been left, or none."""
        with self._sql(name):
            self._begin()
            try:
                yield self._database
                reach(f"{name}.commit")
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        reach(f"{name}.done")

    def _begin(self) -> None:
        """Begins to write. What was opened on a read-only disk stays read-only: it is opened again, as the
        disk may be writable by now."""
        if self._read_only:
            self._database.close()
            self._database = _connect(self.path)
            self._read_only = False
        self._database.execute("BEGIN IMMEDIATE")

    def floors(self) -> Floors:
        """What metadata is held against."""
        with self._sql("reading floors"):
            rows = dict(self._database.execute("SELECT name, value FROM floor"))
        roles = {k.removeprefix("role:"): int(v) for k, v in rows.items() if k.startswith("role:")}
        return Floors(roles, float(rows.get("clock", 0.0)))

    def model_floor(self, model: str) -> int:
        """The highest floor ever signed for the model."""
        with self._sql("reading a floor"):
            row = self._database.execute(
                "SELECT value FROM floor WHERE name = ?", (f"model:{model}",)
            ).fetchone()
        return int(row[0]) if row else 0

    def raise_floors(self, floors: Floors, models: dict[str, int]) -> None:
        """Stores floors; none ever goes down."""
        rows = [(f"role:{k}", float(v)) for k, v in floors.versions.items()]
        rows += [(f"model:{k}", float(v)) for k, v in models.items()] + [("clock", floors.clock)]
        with self._change("floors"):
            self._raise(rows)

    def records(self, model: str | None = None) -> list[Record]:
        """All versions known here, by model, the newest first."""
        with self._sql("reading versions"):
            rows = self._database.execute(
                "SELECT model, version, state, attempts, reason, changed, watch_until, manifest FROM version "
                "WHERE ?1 IS NULL OR model = ?1 ORDER BY model, version DESC",
                (model,),
            ).fetchall()
        return [Record(r[0], r[1], State(r[2]), *r[3:]) for r in rows]

    def record(self, model: str, version: int) -> Record:
        """One version. StoreError when it is not known here."""
        for record in self.records(model):
            if record.version == version:
                return record
        raise StoreError(f"{model} version {version} is not known here", remedy="see `edged models`")

    def active(self, model: str) -> Record | None:
        """The version that serves, or is to serve."""
        return next((r for r in self.records(model) if r.state is State.ACTIVE), None)

    def candidates(self) -> list[Record]:
        """Versions waiting for a trial, or in one."""
        return [r for r in self.records() if r.state in (State.STAGED, State.TRIAL)]

    def stage(self, manifest: Manifest, reason: str, now: float) -> None:
        """Makes a version whose bytes are durable the candidate of its model; another one is dropped."""
        model, version = manifest.model, manifest.version
        with self._change("stage") as database:
            database.execute(
                "DELETE FROM version WHERE model = ? AND version != ? AND state IN ('staged', 'trial')",
                (model, version),
            )
            row = database.execute(
                "SELECT state FROM version WHERE model = ? AND version = ?", (model, version)
            ).fetchone()
            after = step(State(row[0]), Event.STAGE) if row else State.STAGED
            database.execute(
                "INSERT INTO version (model, version, state, reason, changed, manifest) "
                "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state, "
                "reason = excluded.reason, changed = excluded.changed, manifest = excluded.manifest",
                (model, version, after, reason, now, encode(manifest)),
            )

    def begin_trial(self, record: Record, now: float) -> bool:
        """Counts an attempt, durably, before it is made; False, and rolled back, when all have been used
        up."""
        return self._attempt(record, Event.TRY, "in trial", now)

    def begin_watch(self, record: Record, now: float) -> bool:
        """The same for a version that serves on probation: each time a daemon loads it counts as an attempt
        until `settle`."""
        return self._attempt(record, None, "while it served on probation", now)

    def _attempt(self, record: Record, event: Event | None, where: str, now: float) -> bool:
        if record.attempts >= ATTEMPTS:
            self.fail(record, f"it ended {ATTEMPTS} processes {where}", now)
            return False
        after = step(record.state, event) if event else record.state
        with self._change("attempt"):
            self._set(record, after, record.reason, now, record.attempts + 1, record.watch_until)
        return True

    def succeed(self, record: Record, now: float, watch_until: float) -> None:
        """The trial has passed: this version is the active one, the one before it retires."""
        with self._change("succeed"):
            old = self.active(record.model)
            if old is not None and old.version != record.version:
                self._set(old, step(old.state, Event.REPLACE), f"replaced by {record.version}", now, 0, 0.0)
            self._set(record, step(State.TRIAL, Event.PASS), "", now, 0, watch_until)

    def fail(self, record: Record, reason: str, now: float) -> Record | None:
        """Rolled back for ever, with the reason. Where it was the active one the newest retired version
        serves again, and is returned."""
        with self._change("fail"):
            state = self.record(record.model, record.version).state
            self._set(record, step(state, Event.FAIL), reason, now, record.attempts, 0.0)
            if state is not State.ACTIVE:
                return None
            floor = self.model_floor(record.model)
            for other in sorted(self.records(record.model), key=lambda r: -r.changed):
                if other.state is State.RETIRED and other.version >= floor:
                    text = f"serves again: {record.version} was rolled back"
                    self._set(other, step(other.state, Event.RESTORE), text, now, 0, 0.0)
                    return other
        return None

    def settle(self, record: Record, now: float, reason: str = "") -> None:
        """The watch window has passed: from here on the floor that the version was signed with counts."""
        with self._change("settle"):
            self._set(record, record.state, reason or record.reason, now, 0, 0.0)
            self._raise([(f"model:{record.model}", float(record.manifest.floor))])

    def give_back(self, record: Record, now: float) -> None:
        """An attempt that was begun was stopped on purpose, and does not count."""
        with self._change("give_back"):
            current = self.record(record.model, record.version)
            left = max(0, current.attempts - 1)
            self._set(current, current.state, current.reason, now, left, current.watch_until)

    def _raise(self, rows: list[tuple[str, float]]) -> None:
        """Floors, inside the transaction of the caller; none goes down."""
        self._database.executemany(
            "INSERT INTO floor VALUES (?, ?) ON CONFLICT (name) DO UPDATE "
            "SET value = max(value, excluded.value)",
            rows,
        )

    def _set(
        self, record: Record, state: State, reason: str, now: float, attempts: int, watch_until: float
    ) -> None:
        """One row's new values, inside the transaction of the caller."""
        self._database.execute(
            "UPDATE version SET state = ?, reason = ?, changed = ?, attempts = ?, watch_until = ? "
            "WHERE model = ? AND version = ?",
            (state, reason[:2000], now, attempts, watch_until, record.model, record.version),
        )

    def pins(self) -> dict[str, int]:
        """Versions that an operator holds models at."""
        with self._sql("reading pins"):
            return dict(self._database.execute("SELECT model, version FROM pin"))

    def pin(self, model: str, version: int | None) -> None:
        """Holds a model at a version; None lets it follow the rollout again."""
        with self._change("pin") as database:
            database.execute("DELETE FROM pin WHERE model = ?", (model,))
            if version is not None:
                database.execute("INSERT INTO pin VALUES (?, ?)", (model, version))

    def kept(self) -> set[str]:
        """Digests that must stay on disk: active, candidate, and of each model the newest that has
        retired."""
        kept: set[str] = set()
        previous: set[str] = set()
        for record in sorted(self.records(), key=lambda r: -r.changed):
            keep = record.state in KEPT
            if record.state is State.RETIRED and record.model not in previous:
                previous.add(record.model)
                keep = True
            if keep:
                kept |= {record.manifest.file.sha256, record.manifest.golden.blob.sha256}
        return kept

    def prune(self) -> None:
        """Forgets the oldest retired versions beyond HISTORY; those rolled back stay, because they are
        barred."""
        with self._change("prune") as database:
            database.execute(
                "DELETE FROM version WHERE state = 'retired' AND (SELECT count(*) FROM version AS other "
                "WHERE other.model = version.model AND other.state = 'retired' "
                "AND other.changed > version.changed) >= ?",
                (HISTORY,),
            )
