"""Files written whole or not at all: beside their place, fsync, rename, fsync of the folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20
WRITING, SCRATCH = ".writing-", ".scratch-"
"""How the names of unfinished files begin: not to be served or copied, and swept by the next command."""


@contextmanager
def replaced(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` when the block ends without an exception, all at
    once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Makes `path` hold `data`."""
    with replaced(path, mode) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Deletes what commands that were killed have left below `folder`, which nobody may be writing."""
    for prefix in (WRITING, SCRATCH):
        for path in folder.rglob(f"{prefix}*"):
            path.unlink()


def pieces(file: BinaryIO, size: int = PIECE) -> Iterator[bytes]:
    """The rest of a file, `size` bytes at a time."""
    while piece := file.read(size):
        yield piece


def sha256(path: Path) -> str:
    """The digest of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in pieces(file):
            digest.update(piece)
    return digest.hexdigest()
