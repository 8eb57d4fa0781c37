"""Content-addressed files on this device: `blobs/aa/<sha256>` whole and verified, `partial/<sha256>` on the
way.

No name from the repository reaches the file system: names are digests that `manifest` has checked. A partial
file survives restarts; nobody trusts it before it has been hashed again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from edged.models.durable import disk, make_folder, put
from edged.models.errors import BlobError, StoreError
from edged.models.manifest import Blob, blob_path

RESERVE = 8 << 20
"""Bytes that stay free on the file system: databases and logs need some."""
PIECE = 1 << 18


def digest(path: Path) -> str:
    """The sha256 of a file, in small pieces of memory."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            found.update(piece)
    return found.hexdigest()


class Blobs:
    """The blobs below `root`, at most `quota` bytes of them, partial ones included."""

    def __init__(self, root: Path, quota: int) -> None:
        self.root, self.quota = root, quota
        self.whole, self.partial = root / "blobs", root / "partial"
        with disk(f"making the folders of {root}"):
            make_folder(self.whole)
            make_folder(self.partial)

    def path(self, sha256: str) -> Path:
        """Where the whole blob is, or would be."""
        blob_path(sha256)
        return self.whole / sha256[:2] / sha256

    def unfinished(self, sha256: str) -> Path:
        """Where its bytes are gathered."""
        blob_path(sha256)
        return self.partial / sha256

    def has(self, blob: Blob) -> bool:
        """Whether it is here, by name and length; `check` looks at its bytes."""
        path = self.path(blob.sha256)
        return path.is_file() and path.stat().st_size == blob.length

    def check(self, sha256: str) -> Path:
        """The blob's path, its bytes verified. BlobError when they have changed, or are not there."""
        path = self.path(sha256)
        try:
            found = digest(path)
        except OSError as error:
            raise BlobError(f"blob {sha256[:12]} cannot be read: {error.strerror}") from None
        if found != sha256:
            raise BlobError(
                f"blob {sha256[:12]} has changed on the disk", remedy="check the disk; it is fetched again"
            )
        return path

    def accept(self, finished: Path, blob: Blob) -> Path:
        """Takes a gathered file over once length and sha256 are those signed. BlobError deletes it."""
        with disk(f"keeping blob {blob.sha256[:12]}"):
            if finished.stat().st_size != blob.length or digest(finished) != blob.sha256:
                finished.unlink()
                raise BlobError(f"blob {blob.sha256[:12]} is not what was signed")
            put(finished, self.path(blob.sha256))
        return self.path(blob.sha256)

    def used(self) -> int:
        """Bytes of all blobs, whole and partial."""
        return sum(size for _name, size, _path in self._files())

    def make_room(self, need: int, keep: Collection[str]) -> None:
        """StoreError unless `need` more bytes fit into quota and file system, after deleting what is not in
        `keep`, and that only if it must be."""
        if self._short(need):
            self.collect(keep)
        if short := self._short(need):
            raise StoreError(short, remedy="free some space, or raise [updates] quota_bytes")

    def _short(self, need: int) -> str:
        free = shutil.disk_usage(self.root).free
        if need + RESERVE > free:
            return f"{need} bytes are needed and {RESERVE} must stay free, the disk has {free}"
        if (used := self.used()) + need > self.quota:
            return f"{need} bytes are needed, {used} of the quota of {self.quota} are used"
        return ""

    def collect(self, keep: Collection[str]) -> int:
        """Deletes every blob and partial file whose digest is not in `keep`; the number of bytes."""
        freed = 0
        with disk("deleting old blobs"):
            for name, size, path in list(self._files()):
                if name not in keep:
                    path.unlink(missing_ok=True)
                    freed += size
        return freed

    def _files(self) -> list[tuple[str, int, Path]]:
        found = []
        for folder in (self.whole, self.partial):
            for base, _folders, names in os.walk(folder):
                for name in names:
                    path = Path(base, name)
                    found.append((name.split(".")[0], path.stat().st_size, path))
        return found
