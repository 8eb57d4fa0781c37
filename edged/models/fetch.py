"""One blob from a feed to the disk: begun where it stopped, checked chunk by chunk, bounded in bytes and in
time.

What lies in `partial/` is hashed again before it is continued, also the part of a chunk at its end, so that a
cut costs no byte twice. A chunk that is not what was signed is cut off and fetched once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from edged.feed import Feed, FeedError, NotThereError
from edged.models.blobs import PIECE, Blobs
from edged.models.durable import disk, sync
from edged.models.errors import BlobError
from edged.models.manifest import Blob, blob_path
from edged.models.points import reach

SYNC_BYTES = 16 << 20
IDLE_TRIES = 5
BAD_CHUNKS = 8


@dataclass(frozen=True, slots=True)
class Pace:
    """The slowest that is put up with: `least` bytes a second, over every `window` seconds and, after `grace`
    seconds, over the whole blob. `monotonic` and `sleep` are the clock."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    least: float = 1000.0
    window: float = 30.0
    grace: float = 60.0


Progress = Callable[[int, int], None]


class _Tail:
    """The file being gathered: `at` bytes are in it, whole chunks verified, the last one being hashed."""

    def __init__(self, file: BinaryIO, blob: Blob) -> None:
        self.file, self.blob = file, blob
        self.at = self.synced = 0
        self._hash = hashlib.sha256()
        size = file.seek(0, 2)
        file.seek(0)
        while self.at < min(size, blob.length):
            piece = file.read(min(PIECE, self._missing()))
            if not piece or not self._take(piece):
                break
        self.cut(self.at)

    def _missing(self) -> int:
        """Bytes to the end of the chunk."""
        size = self.blob.chunk_bytes
        return min(size - self.at % size, self.blob.length - self.at)

    def _take(self, piece: bytes) -> bool:
        """Hashes bytes of one chunk; False, and back at the chunk's start, when it is not the one signed."""
        first = self.at - self.at % self.blob.chunk_bytes
        last = len(piece) == self._missing()
        self._hash.update(piece)
        self.at += len(piece)
        if last:
            found, self._hash = self._hash.hexdigest(), hashlib.sha256()
            if found != self.blob.chunks[first // self.blob.chunk_bytes]:
                self.at = first
                return False
        return True

    def cut(self, at: int) -> None:
        """Forgets what lies behind `at`."""
        self.file.seek(at)
        self.file.truncate()

    def add(self, piece: bytes) -> bool:
        """Appends bytes from the feed, none beyond the signed length. False when a chunk was wrong."""
        view = memoryview(piece)
        while view and self.at < self.blob.length:
            part = bytes(view[: self._missing()])
            view = view[len(part) :]
            rest = memoryview(part)
            while rest:  # unbuffered: on a disk that is nearly full a write may be short
                rest = rest[self.file.write(rest) :]
            if not self._take(part):
                self.cut(self.at)
                return False
            if self.at - self.synced >= SYNC_BYTES:
                self.save()
        return True

    def save(self) -> None:
        """What has been gathered is on the medium."""
        self.file.flush()
        sync(self.file.fileno())
        self.synced = self.at


class _Watch:
    """Holds a transfer against its pace."""

    def __init__(self, pace: Pace, length: int) -> None:
        self.pace = pace
        self.end = pace.monotonic() + pace.grace + length / pace.least
        self.since, self.bytes = pace.monotonic(), 0

    def count(self, number: int, what: str) -> None:
        """FeedError when it is too slow."""
        now = self.pace.monotonic()
        self.bytes += number
        if now > self.end:
            raise FeedError(f"{what}: not finished in the time for its size")
        if now - self.since >= self.pace.window:
            if self.bytes < self.pace.least * (now - self.since):
                raise FeedError(f"{what}: {self.bytes} bytes in {now - self.since:.0f} s is too slow")
            self.since, self.bytes = now, 0


def fetch(feed: Feed, blob: Blob, blobs: Blobs, pace: Pace, progress: Progress) -> int:
    """Brings the blob into `blobs`, whole and verified; the number of bytes that moved. `progress(done,
    total)` is called as they do. FeedError: it may be continued later. BlobError: the feed does not have what
    was signed."""
    if blobs.has(blob):
        return 0
    partial = blobs.unfinished(blob.sha256)
    moved = 0
    with disk(f"writing blob {blob.sha256[:12]}"):
        with _open(partial) as file:
            tail = _Tail(file, blob)
            watch = _Watch(pace, blob.length)
            for number in _transfer(feed, tail, watch, pace):
                moved += number
                progress(tail.at, blob.length)
            tail.save()
        reach("fetch.gathered")
        blobs.accept(partial, blob)
    return moved


def _open(partial: Path) -> BinaryIO:
    """Unbuffered: what has been added can be cut off again."""
    partial.touch()
    return cast(BinaryIO, partial.open("r+b", buffering=0))


def _transfer(feed: Feed, tail: _Tail, watch: _Watch, pace: Pace) -> Iterator[int]:
    """Opens the feed again and again, while that brings anything, until all is there."""
    idle = bad = 0
    while tail.at < tail.blob.length:
        before = tail.at
        try:
            yield from _one_response(feed, tail, watch)
        except NotThereError:
            raise
        except BlobError:
            bad += 1
            if bad >= BAD_CHUNKS:
                raise
        except FeedError:
            if tail.at == before:
                idle += 1
                if idle >= IDLE_TRIES:
                    raise
                pace.sleep(min(0.1 * 4**idle, 10.0))
        if tail.at > before:
            idle = 0


def _one_response(feed: Feed, tail: _Tail, watch: _Watch) -> Iterator[int]:
    name = f"blob {tail.blob.sha256[:12]}"
    begins, pieces = feed.open(blob_path(tail.blob.sha256), tail.at, tail.blob.length - tail.at)
    if begins not in (0, tail.at):
        raise FeedError(f"{name}: bytes from {tail.at} were asked for, the answer begins at {begins}")
    skip = tail.at - begins
    with closing(pieces):
        for piece in pieces:
            watch.count(len(piece), name)
            fresh, skip = piece[skip:], max(0, skip - len(piece))
            if fresh and not tail.add(fresh):
                raise BlobError(f"{name}: the feed's bytes are not those that were signed")
            reach("fetch.piece")
            yield len(piece)
            if tail.at >= tail.blob.length:
                return
    if tail.at < tail.blob.length:
        raise FeedError(f"{name}: the answer ended at byte {tail.at} of {tail.blob.length}")
