"""Blobs: everything large, once, under its digest, with the digests of its chunks."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edged.models import delta
from edged.models.delta_errors import DeltaError
from edged.models.manifest import (
    CHUNK_BYTES,
    MAX_CHUNK,
    MAX_CHUNKS,
    Algorithm,
    Blob,
    Delta,
    Manifest,
    blob_path,
)
from edged.publish import files
from edged.publish.errors import PublishError

WORTH = 0.9
"""A delta is kept when it is smaller than this share of the whole file."""


def described(path: Path) -> Blob:
    """The description of a file as a blob; large files get larger chunks."""
    length, chunk_bytes = path.stat().st_size, CHUNK_BYTES
    while length > chunk_bytes * MAX_CHUNKS and chunk_bytes < MAX_CHUNK:
        chunk_bytes *= 2
    whole, chunks = hashlib.sha256(), []
    with path.open("rb") as file:
        for chunk in files.pieces(file, chunk_bytes):
            whole.update(chunk)
            chunks.append(hashlib.sha256(chunk).hexdigest())
    return Blob(sha256=whole.hexdigest(), length=length, chunk_bytes=chunk_bytes, chunks=tuple(chunks))


def put(public: Path, path: Path) -> Blob:
    """Copies a file among the blobs, unless it is there. PublishError when it changes while it is copied."""
    blob = described(path)
    place = public / blob_path(blob.sha256)
    if place.is_file() and place.stat().st_size == blob.length:
        return blob
    digest = hashlib.sha256()
    with files.replaced(place, 0o444) as out, path.open("rb") as file:
        for piece in files.pieces(file):
            digest.update(piece)
            out.write(piece)
        if digest.hexdigest() != blob.sha256:
            raise PublishError(
                f"{path} changed while it was copied", remedy="add it again when it is complete"
            )
    return blob


def put_bytes(public: Path, data: bytes) -> Blob:
    """As `put`, for bytes in memory."""
    with scratch(public) as (file, path):
        file.write(data)
        file.flush()
        return put(public, path)


@contextmanager
def scratch(public: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside the public folder that is gone afterwards."""
    descriptor, name = tempfile.mkstemp(dir=public.parent, prefix=files.SCRATCH)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def deltas(public: Path, bases: Sequence[Manifest], file: Blob, memory_limit: int) -> tuple[Delta, ...]:
    """The smallest delta from each base to the blob `file`, where one is worth it."""
    made: list[Delta] = []
    for base in bases:
        best = min(
            (d for d in _tried(public, base.file, file, memory_limit) if d.blob.length < WORTH * file.length),
            key=lambda d: d.blob.length,
            default=None,
        )
        if best is not None:
            made.append(best)
    return tuple(made)


def _tried(public: Path, base: Blob, file: Blob, memory_limit: int) -> list[Delta]:
    old, new = public / blob_path(base.sha256), public / blob_path(file.sha256)
    if base.sha256 == file.sha256 or not old.is_file():
        return []
    found: list[Delta] = []
    for algorithm in delta.choose(base.length, file.length, memory_limit):
        with scratch(public) as (patch, path):
            delta.make(algorithm, old, new, patch, memory_limit)
            patch.flush()
            _check(algorithm, old, path, file, memory_limit, public)
            if path.stat().st_size < WORTH * file.length:
                blob = put(public, path)
                found.append(Delta(base=base.sha256, algorithm=algorithm, blob=blob))
    return found


def _check(algorithm: Algorithm, old: Path, patch: Path, file: Blob, memory_limit: int, public: Path) -> None:
    """Applies the patch as a device will. DeltaError when that does not give the file."""
    with scratch(public) as (out, made):
        delta.apply(algorithm, old, patch, out, memory_limit, length=file.length)
        out.flush()
        if files.sha256(made) != file.sha256:
            raise DeltaError(f"a {algorithm} patch does not give back the file: do not publish it")
