"""Files that are there after a power cut, or not at all: write, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edged.models.errors import StoreError
from edged.models.points import reach

REASONS = {
    errno.ENOSPC: "free some space, or lower [updates] quota_bytes",
    errno.EDQUOT: "raise the disk quota of this user",
    errno.EROFS: "mount it writable, or set [daemon] state_dir elsewhere",
    errno.EACCES: "give the daemon's user the folder",
    errno.EPERM: "give the daemon's user the folder",
    errno.EIO: "check the disk",
    errno.EMFILE: "raise the limit of open files",
}
"""What to do about a failure of the disk. None of them is the network's: nothing is tried again at once."""


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Turns what the disk refuses into StoreError: `what` says what was being done."""
    try:
        yield
    except OSError as error:
        remedy = REASONS.get(error.errno or 0, "")
        raise StoreError(f"{what}: {error.strerror or error}", remedy=remedy) from error


def sync(descriptor: int) -> None:
    """fsync: when it returns, the bytes are on the medium."""
    os.fsync(descriptor)


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """The folder, durably, with those above it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True, mode=0o755)
    sync_folder(path.parent)


def put(finished: Path, final: Path) -> None:
    """A finished file under its final name, durably: read-only from now on. Not before: a file that was
    stopped half-way here must still open for writing."""
    make_folder(final.parent)
    descriptor = os.open(finished, os.O_RDONLY)
    try:
        reach("put.sync")
        sync(descriptor)
        reach("put.rename")
        os.rename(finished, final)
        os.fchmod(descriptor, 0o444)
    finally:
        os.close(descriptor)
    reach("put.sync_folder")
    sync_folder(final.parent)
    if finished.parent != final.parent:
        sync_folder(finished.parent)
    reach("put.done")


def sync_tree(root: Path) -> None:
    """Every file and folder below `root`: what somebody else wrote there without syncing."""
    for folder, _folders, files in os.walk(root):
        for name in files:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(folder))
