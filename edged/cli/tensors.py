"""Tensors in and out of the commands: .npz files, and as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from edged.errors import InputError

Array = np.ndarray[Any, Any]


def load_npz(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file. InputError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not an .npz file with plain arrays ({error})") from None


def hand_out(results: Mapping[str, Array], path: Path | None) -> None:
    """Writes `results` to an .npz file, or prints each as dtype, shape and some of its values."""
    if path is not None:
        np.savez(path, **results)  # type: ignore[arg-type]  # NumPy types its flag as a keyword of any name
        click.echo(f"{path}: {', '.join(results)}")
        return
    for name, array in results.items():
        flat = np.array2string(array.reshape(-1), threshold=12, precision=5)
        click.echo(f"{name}: {array.dtype}[{'x'.join(map(str, array.shape))}] {flat}")
