"""A device that is killed: one process that polls, tries (no model is loaded) and activates, as the daemon
does, with a SIGKILL to itself at a chosen point, or from outside at any time. What it leaves behind is
checked here.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edged.models import durable, points, store
from edged.models.blobs import Blobs, digest
from edged.models.feeds import FolderFeed
from edged.models.fetch import Pace
from edged.models.states import State
from edged.models.store import Store
from edged.models.updater import Poll, Settings
from support.model_repository import Repository

QUOTA = 1 << 30


def update(root: Path, repository: Path, bootstrap: bytes, watch: float = 0.0) -> None:
    """One poll and one trial of everything that it brought."""
    database = Store(root)
    blobs = Blobs(root, QUOTA)
    pace = Pace(time.monotonic, lambda _s: None)
    with database.lock():
        settings = Settings("stable", "device-1", bootstrap)
        Poll(
            database, blobs, FolderFeed(repository), settings, now=time.time, pace=pace, report=lambda _e: None
        ).run()
    for record in database.candidates():
        if not database.begin_trial(record, time.time()):
            continue
        points.reach("trial")
        blobs.check(record.manifest.file.sha256)
        blobs.check(record.manifest.golden.blob.sha256)
        database.succeed(database.record(record.model, record.version), time.time(), watch)
        database.settle(database.record(record.model, record.version), time.time())
    database.close()


@dataclass
class Killed:
    """How a process ended: the points it came by, and whether it was killed."""

    reached: list[str]
    killed: bool


def run(root: Path, repository: Repository, kill_at: int | None = None, after: float | None = None) -> Killed:
    """One process. `kill_at`: it kills itself at that point, counted from 0. `after`: it is killed after
    seconds."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _child(root, repository, kill_at, write)
    os.close(write)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read) as pipe:
        reached = pipe.read().split()
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or os.WEXITSTATUS(status) == 0, "the device's process failed (see stderr)"
    return Killed(reached, killed)


def _child(root: Path, repository: Repository, kill_at: int | None, pipe: int) -> None:
    """Never returns to the test."""
    code = 1
    try:
        points.hook = _counter(kill_at, pipe)
        update(root, repository.root, repository.bootstrap)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _counter(kill_at: int | None, pipe: int) -> Callable[[str], None]:
    count = 0

    def hook(name: str) -> None:
        nonlocal count
        os.write(pipe, name.encode() + b"\n")
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    return hook


def check(root: Path, model: str = "m") -> int:
    """The active version, 0 for none. AssertionError unless all bytes that the store relies on are those
    signed."""
    database = Store(root)
    blobs = Blobs(root, QUOTA)
    for record in database.records(model):
        if record.state in (State.ACTIVE, State.STAGED, State.TRIAL):
            for blob in (record.manifest.file, record.manifest.golden.blob):
                assert digest(blobs.path(blob.sha256)) == blob.sha256
    for path in blobs.whole.glob("*/*"):
        assert digest(path) == path.name, f"{path} is not what its name says"
    active = database.active(model)
    database.close()
    return active.version if active else 0


def never_sync() -> None:
    """The control: nothing is made durable. For a child process only."""
    durable.sync = lambda _descriptor: None
    store.SYNCHRONOUS = "OFF"
