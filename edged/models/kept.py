"""A stored version as a source: every time it is read its bytes are held against the signed digest first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from edged.formats import tflite
from edged.graph.model import Model
from edged.graph.verify import verify
from edged.models.blobs import Blobs
from edged.models.errors import BlobError
from edged.models.manifest import Blob, Manifest
from edged.source import Source, mapped


def read_blob(blobs: Blobs, blob: Blob) -> memoryview:
    """The blob, mapped, and hashed through that very mapping. BlobError when it is not what was signed."""
    path = blobs.path(blob.sha256)
    if not path.is_file():
        raise BlobError(f"blob {blob.sha256[:12]} is not on this device", remedy="`edged update`")
    data = mapped(path)
    if hashlib.sha256(data).hexdigest() != blob.sha256:
        raise BlobError(
            f"blob {blob.sha256[:12]} has changed on the disk", remedy="check the disk; delete the file"
        )
    return data


def _read(blobs: Blobs, manifest: Manifest, keys: Sequence[Path]) -> Model:
    data = read_blob(blobs, manifest.file)
    if manifest.encrypted:
        import io

        from edged.models.cipher import read_key, unseal

        key = read_key(manifest.encrypted, keys)
        name = f"{manifest.model} {manifest.version}"
        data = memoryview(b"".join(unseal(key, io.BytesIO(data), name)))
    model = tflite.read(data, name=f"{manifest.model} {manifest.version}")
    verify(model)
    return model


def kept_source(blobs: Blobs, manifest: Manifest, keys: Sequence[Path]) -> Source:
    """The model of a manifest. Reading it may raise BlobError, SealError or ModelError."""
    return Source(f"update {manifest.version}", lambda: _read(blobs, manifest, keys))
