"""Opens workspaces with a known passphrase and a cheap scrypt; makes other versions of a model file."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from edged.publish import workspace
from edged.publish.workspace import Workspace

PHRASE = b"eight or more"
COST = 4


def open_at(folder: Path, **changes: object) -> AbstractContextManager[Workspace]:
    """The workspace in `folder`, with this suite's passphrase and cost."""
    options = {"passphrase": lambda: PHRASE, "cost": COST} | changes
    return workspace.opened(folder, **options)  # type: ignore[arg-type]


def moved(source: Path, place: Path) -> Path:
    """A copy of a .tflite file with one byte of its largest constant changed."""
    from edged.source import read_model

    data = bytearray(source.read_bytes())
    constants = (t.data for t in read_model(source).main.constants if t.data is not None)
    weights = bytes(max(constants, key=len))
    data[bytes(data).index(weights) + len(weights) // 2] ^= 1
    place.write_bytes(data)
    return place
