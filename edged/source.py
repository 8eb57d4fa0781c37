"""Where models come from: a source reads and verifies one whenever it is wanted; here, from files."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edged.errors import ModelError
from edged.formats import tflite
from edged.graph.model import Model
from edged.graph.verify import verify


def mapped(path: Path) -> memoryview:
    """The bytes of a file that nobody changes (a store's), mapped read-only; a model's constants stay views
    of them. ModelError when there are none."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:
        raise ModelError(f"{path}: the file is empty") from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None


def copied(path: Path) -> memoryview:
    """The bytes of a file that somebody may write to, in memory of our own: of a mapped file that is cut
    short, as `cp` does to the one it replaces, the lost pages end the process (SIGBUS, mmap(2)). ModelError
    when there are none."""
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise ModelError(f"{path}: the file is empty")
            memory = memoryview(mmap.mmap(-1, size))
            at = 0
            while count := file.readinto(memory[at:]):
                at += count
            if at < size or file.read(1):
                raise ModelError(f"{path}: the file was changed while it was read", remedy="load it again")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    return memory.toreadonly()


def read_model(path: Path) -> Model:
    """The verified model of a file, not yet optimised. Any failure is a ModelError that names the file."""
    data = copied(path)
    model = tflite.read(data, name=path.name)
    verify(model)
    return model


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: `read` gives it verified, `label` says which it is (a path, a digest)."""

    label: str
    read: Callable[[], Model]


def file_source(path: Path) -> Source:
    """A file as a source."""
    return Source(str(path), lambda: read_model(path))
