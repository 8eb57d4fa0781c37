"""Sealed model files among the blobs: see `edged.models.cipher` for the form."""

from __future__ import annotations

from pathlib import Path

from edged.models import cipher
from edged.models.manifest import Blob
from edged.publish import blobs


def put(public: Path, path: Path, name: str, key: bytes) -> Blob:
    """Seals a file with the key `name` into the blobs. Each time it is another blob, as its salt is
    random."""
    with blobs.scratch(public) as (out, sealed), path.open("rb") as plain:
        cipher.seal(key, plain, path.stat().st_size, out)
        out.flush()
        return blobs.put(public, sealed)


def key_file(path: Path) -> bytes:
    """The key in a file of the publisher's. SealError when it holds none."""
    return cipher.parse_key(path.read_bytes(), str(path))
