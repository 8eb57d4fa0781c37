"""Model files <-> Model. Pure: a reader is given bytes, and a writer gives them; nobody here opens a file.

Every reader takes hostile input: whatever the bytes, it returns a Model or raises one ModelError.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from edged.errors import ModelError
from edged.formats.sniff import kind
from edged.graph.model import Model

if TYPE_CHECKING:
    from mmap import mmap

READERS: tuple[tuple[int, bytes, str], ...] = ((4, b"TFL3", "edged.formats.tflite"),)
"""Offset and bytes that a format is known by, and the module whose `read` takes it."""


def read(data: bytes | bytearray | memoryview | mmap, *, name: str = "") -> Model:
    """The model in a file of any known format, its constants views of `data`; `name` opens every message."""
    view = memoryview(data)
    for offset, mark, module in READERS:
        if view[offset : offset + len(mark)] == mark:
            model: Model = import_module(module).read(view, name=name)
            return model
    what, remedy = kind(view)
    raise ModelError(f"{name}: not a model that edged reads: it is {what}".removeprefix(": "), remedy=remedy)
