"""A device that is killed: one process that polls, tries (no model is loaded) and activates, as the daemon
does, with a SIGKILL to itself at a chosen point, or from outside at any time. What it leaves behind is
checked here.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edged.models import durable, points, store
from edged.models.blobs import Blobs, digest
from edged.models.feeds import FolderFeed
from edged.models.fetch import Pace
from edged.models.states import State
from edged.models.store import Store
from edged.models.updater import Poll, Settings
from support.model_repository import Repository

QUOTA = 1 << 30


def content(version: int, size: int = 60_000) -> bytes:
    """Weights that change a little from version to version."""
    weights = np.random.default_rng(0).integers(-128, 128, size).astype(np.int8)
    weights[:: 7 + version % 5] += version % 11
    return weights.tobytes()


def publish(repository: Repository, version: int, *, delta: bool) -> None:
    """The next version; now and then with new keys."""
    deltas = (repository.delta(content(version - 1), content(version)),) if delta else ()
    if version % 5 == 4:
        repository.rotate(random.Random(version).choice(["timestamp", "snapshot", "root"]))
    repository.release("m", version, content(version), deltas=deltas, golden=b"golden %d" % version)


def update(root: Path, repository: Path, bootstrap: bytes, watch: float = 0.0) -> None:
    """One poll and one trial of everything that it brought."""
    database = Store(root)
    try:
        _update(database, Blobs(root, QUOTA), repository, bootstrap, watch)
    finally:
        database.close()


def _update(database: Store, blobs: Blobs, repository: Path, bootstrap: bytes, watch: float) -> None:
    pace = Pace(time.monotonic, lambda _s: None)
    settings = Settings("stable", "device-1", bootstrap)
    feed = FolderFeed(repository)
    with database.lock():
        Poll(database, blobs, feed, settings, now=time.time, pace=pace, report=lambda _e: None).run()
    for record in database.candidates():
        if not database.begin_trial(record, time.time()):
            continue
        points.reach("trial")
        blobs.check(record.manifest.file.sha256)
        blobs.check(record.manifest.golden.blob.sha256)
        database.succeed(database.record(record.model, record.version), time.time(), watch)
        database.settle(database.record(record.model, record.version), time.time())


@dataclass
class Killed:
    """How a process ended: the points it came by, and whether it was killed."""

    reached: list[str]
    killed: bool


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class End:
    """How a process is to end. `at`: at that point, by name or counted from 0, by calling `act` and then SIGKILL.
    `after`: the same from outside, after seconds. `first` runs in the process before anything else."""

    at: int | str | None = None
    after: float | None = None
    act: Callable[[], None] = _kill
    first: Callable[[], None] = lambda: None


def run(root: Path, repository: Repository, end: End | None = None) -> Killed:
    """One process of the device."""
    end = end or End()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(root, repository, end, write)
    os.close(write)
    if end.after is not None:
        time.sleep(end.after)
        if end.act is not _kill:
            end.act()
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read) as pipe:
        reached = pipe.read().split()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or os.WEXITSTATUS(status) == 0 or end.act is not _kill, (
        "the device's process failed (see stderr)"
    )
    return Killed(reached, killed)


def _child(root: Path, repository: Repository, end: End, pipe: int) -> None:
    """Never returns to the test."""
    code = 1
    try:
        end.first()
        points.hook = _counter(end, pipe)
        update(root, repository.root, repository.bootstrap)
        code = 0
    except BaseException:
        if end.act is _kill:
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(code)


def _counter(end: End, pipe: int) -> Callable[[str], None]:
    count = 0

    def hook(name: str) -> None:
        nonlocal count
        os.write(pipe, name.encode() + b"\n")
        if end.at in (count, name):
            end.act()
            _kill()
        count += 1

    return hook


def check(root: Path, model: str = "m") -> int:
    """The active version, 0 for none. AssertionError unless all bytes that the store relies on are those
    signed."""
    database = Store(root)
    try:
        return _checked(database, Blobs(root, QUOTA), model)
    finally:
        database.close()


def _checked(database: Store, blobs: Blobs, model: str) -> int:
    for record in database.records(model):
        if record.state in (State.ACTIVE, State.STAGED, State.TRIAL):
            for blob in (record.manifest.file, record.manifest.golden.blob):
                assert digest(blobs.path(blob.sha256)) == blob.sha256
    for path in blobs.whole.glob("*/*"):
        assert digest(path) == path.name, f"{path} is not what its name says"
    active = database.active(model)
    return active.version if active else 0


def never_sync_files() -> None:
    """A control: rows are durable, the bytes that they name are not. For a child process only."""
    durable.sync = lambda _descriptor: None


def never_sync() -> None:
    """A control: nothing is made durable. For a child process only."""
    never_sync_files()
    store.SYNCHRONOUS = "OFF"
