"""Deltas between two versions of a model file: one table of algorithms, each a way to make and to apply one.

A delta is never trusted: whoever applies one compares the SHA-256 of what came out with the signed manifest,
and takes the whole blob when they differ. What this module promises whatever the bytes of a patch are: it
writes at most `length` bytes, holds at most `memory_limit` bytes, ends, and raises DeltaError for a patch
that makes no sense. Needs the extra `edged[updates]` (zstandard).

Algorithms:
  tensor-diff-zstd  two files of one length: element-wise differences in blocks of 1 MiB; constant memory
  zstd-patch        any two files: zstd with the base as its dictionary; memory grows with both
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edged.models import patch_from, tensor_diff
from edged.models.delta_errors import DeltaError
from edged.models.manifest import Algorithm

MEMORY_LIMIT = 24 << 20
"""What applying may hold unless the caller says otherwise; a device's updater stays under 64 MiB in all."""

Make = Callable[[Path, Path, BinaryIO, int], None]
Apply = Callable[[BinaryIO, BinaryIO, BinaryIO, int, int], None]


@dataclass(frozen=True, slots=True)
class Way:
    """`make(base, new, patch, memory_limit)`, `apply(base, patch, out, length, memory_limit)`; `needs` gives
    the bytes that applying holds for a base and a result of these lengths, None when it cannot serve such a
    pair."""

    make: Make
    apply: Apply
    needs: Callable[[int, int], int | None]


ALGORITHMS: dict[Algorithm, Way] = {
    "tensor-diff-zstd": Way(tensor_diff.make, tensor_diff.apply, tensor_diff.needs),
    "zstd-patch": Way(patch_from.make, patch_from.apply, patch_from.needs),
}
"""The one to prefer first."""


def choose(base_length: int, length: int, memory_limit: int = MEMORY_LIMIT) -> list[Algorithm]:
    """The algorithms that serve a pair of files of these lengths within the limit, the one to prefer
    first."""
    needed = {name: a.needs(base_length, length) for name, a in ALGORITHMS.items()}
    return [name for name, memory in needed.items() if memory is not None and memory <= memory_limit]


def make(algorithm: str, base: Path, new: Path, patch: BinaryIO, memory_limit: int = MEMORY_LIMIT) -> None:
    """Writes to `patch` what turns the file `base` into the file `new`, so that it can be applied within
    `memory_limit`."""
    _known(algorithm).make(base, new, patch, memory_limit)


def apply(
    algorithm: str, base: Path, patch: Path, out: BinaryIO, memory_limit: int = MEMORY_LIMIT, *, length: int
) -> None:
    """Writes to `out` the file of `length` bytes that `patch` makes of `base`. DeltaError when it cannot:
    then `out` holds at most `length` bytes, of no value. The caller verifies the SHA-256 of what was
    written."""
    chosen = _known(algorithm)
    with base.open("rb") as old, patch.open("rb") as changes:
        chosen.apply(old, changes, out, length, memory_limit)


def _known(algorithm: str) -> Way:
    found = next((way for name, way in ALGORITHMS.items() if name == algorithm), None)
    if found is None:
        raise DeltaError(
            f"no delta algorithm is called {algorithm!r}; there are {', '.join(ALGORITHMS)}",
            remedy="update edged, or take the whole file",
        )
    return found
