"""One blob over a line that is cut, wrong, slow, or cannot begin in the middle: every byte is paid for once."""

from __future__ import annotations

import random
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from edged.feed import Feed, FeedError, NotThereError
from edged.models.blobs import Blobs
from edged.models.errors import BlobError
from edged.models.fetch import Pace, fetch
from edged.models.manifest import blob_path
from support.model_repository import describe

DATA = np.random.default_rng(3).bytes(1_000_003)
BLOB = describe(DATA, 1 << 14)


class Clock:
    """Time that passes only when somebody sleeps or a feed is slow."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeFeed(Feed):
    """DATA, as a bad line gives it. `seeks`: whether it can begin in the middle."""

    def __init__(self, clock: Clock, seeks: bool = True) -> None:
        self.clock, self.seeks = clock, seeks
        self.rng = random.Random(1)
        self.cut = self.flip = 0.0
        self.seconds_a_piece = 0.0
        self.starts: list[int] = []
        self.data = DATA
        self.lie = 0

    def open(self, path: str, start: int, limit: int) -> tuple[int, Generator[bytes, None, None]]:
        assert path == blob_path(BLOB.sha256)
        first = start if self.seeks else 0
        self.starts.append(start)
        return first + self.lie, self._pieces(first)

    def _pieces(self, first: int) -> Generator[bytes, None, None]:
        end = len(self.data)
        if self.rng.random() < self.cut:
            end = first + self.rng.randrange(max(end - first, 1))
        for at in range(first, end, 9000):
            self.clock.now += self.seconds_a_piece
            piece = bytearray(self.data[at : min(at + 9000, end)])
            if self.rng.random() < self.flip:
                piece[self.rng.randrange(len(piece))] ^= 1
            yield bytes(piece)


class Bench:
    """A feed, a folder for blobs, and how much moved."""

    def __init__(self, folder: Path, seeks: bool = True) -> None:
        self.clock = Clock()
        self.feed = FakeFeed(self.clock, seeks)
        self.blobs = Blobs(folder, 1 << 30)
        self.progress: list[int] = []

    def go(self) -> int:
        pace = Pace(self.clock, self.clock.sleep)
        moved = fetch(self.feed, BLOB, self.blobs, pace, lambda done, _total: self.progress.append(done))
        assert self.blobs.check(BLOB.sha256).read_bytes() == DATA
        return moved


def test_a_good_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.go() == len(DATA)
    assert bench.progress[-1] == len(DATA)
    assert bench.go() == 0
    assert not bench.blobs.unfinished(BLOB.sha256).exists()


def test_ninety_percent_of_answers_cut(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed.cut = 0.9
    assert bench.go() == len(DATA)
    assert len(bench.feed.starts) > 3


def test_cuts_and_wrong_bytes(tmp_path: Path) -> None:
    """A wrong chunk costs that chunk and the rest of its piece, no more."""
    bench = Bench(tmp_path)
    bench.feed.cut, bench.feed.flip = 0.5, 0.03
    moved = bench.go()
    assert len(DATA) < moved < 1.25 * len(DATA)


def test_a_line_that_cannot_begin_in_the_middle(tmp_path: Path) -> None:
    bench = Bench(tmp_path, seeks=False)
    bench.feed.cut = 0.5
    assert bench.go() >= len(DATA)


@pytest.mark.parametrize("left", [0, 1, 16_384, 20_000, 999_999])
def test_continues_what_an_earlier_process_has_left(tmp_path: Path, left: int) -> None:
    bench = Bench(tmp_path)
    bench.blobs.unfinished(BLOB.sha256).write_bytes(DATA[:left])
    assert bench.go() == len(DATA) - left
    assert bench.feed.starts == [left]


def test_a_feed_that_has_other_bytes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed.data = b"\0" * len(DATA)
    with pytest.raises(BlobError, match="not those that were signed"):
        bench.go()
    assert not bench.blobs.has(BLOB)
    bench.feed.data = DATA
    bench.go()


def test_a_feed_that_goes_on_for_ever_is_read_to_the_signed_length(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed.data = DATA + b"\0" * 10_000_000
    assert bench.go() <= len(DATA) + 9000


def test_a_drip(tmp_path: Path) -> None:
    """A piece now and then keeps a connection alive, and is given up all the same."""
    bench = Bench(tmp_path)
    bench.feed.seconds_a_piece = 29.0
    with pytest.raises(FeedError, match=r"too slow|not finished"):
        bench.go()
    assert bench.clock.now < 3600


def test_a_feed_that_begins_elsewhere(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.feed.lie = 7
    with pytest.raises(FeedError, match="were asked for, the answer begins at 7"):
        bench.go()


def test_a_blob_that_is_not_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def nothing(path: str, start: int, limit: int) -> tuple[int, Generator[bytes, None, None]]:
        raise NotThereError("gone")

    bench.feed.open = nothing  # type: ignore[method-assign]
    with pytest.raises(NotThereError):
        bench.go()
    assert bench.clock.now == 0.0
