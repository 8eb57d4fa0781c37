"""Where models come from: a source reads and verifies one whenever it is wanted; here, from files that are
mapped."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edged.errors import ModelError
from edged.formats import tflite
from edged.graph.model import Model
from edged.graph.verify import verify


def mapped(path: Path) -> memoryview:
    """The bytes of a file, mapped read-only; a model's constants stay views of them. ModelError when there
    are none."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:
        raise ModelError(f"{path}: the file is empty") from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None


def read_model(path: Path) -> Model:
    """The verified model of a file, not yet optimised. Any failure is a ModelError that names the file."""
    data = mapped(path)
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
