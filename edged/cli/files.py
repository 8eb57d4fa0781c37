"""Model files, as the commands that work without a daemon read them."""

from __future__ import annotations

import mmap
from pathlib import Path

from edged.errors import ModelError
from edged.formats import tflite
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged.graph.verify import verify


def mapped(path: Path) -> memoryview:
    """The bytes of a file, mapped read-only; constants of a model stay views of them. ModelError when there
    are none."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:
        raise ModelError(f"{path}: the file is empty") from None
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None


def read_model(path: Path, *, optimised: bool = True) -> Model:
    """The verified model of a file. Any failure is a ModelError."""
    model = tflite.read(mapped(path), name=path.name)
    verify(model)
    return optimise(model) if optimised else model
