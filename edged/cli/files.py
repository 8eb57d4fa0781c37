"""Model files, as the commands that work without a daemon read them."""

from __future__ import annotations

from pathlib import Path

from edged import source
from edged.graph.model import Model
from edged.graph.passes import optimise


def read_model(path: Path, *, optimised: bool = True) -> Model:
    """The verified model of a file. Any failure is a ModelError."""
    model = source.read_model(path)
    return optimise(model) if optimised else model
