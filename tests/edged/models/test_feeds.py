"""Which feed a url opens, a plugin's among them, and folders. Servers that misbehave are in test_attacks_transport."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pluggy
import pytest

from edged import hookspecs
from edged.errors import ConfigError
from edged.feed import Feed, FeedError, NotThereError
from edged.models.feeds import FolderFeed, HttpFeed, open_feed


class Shelf(Feed):
    """A plugin's feed."""

    def open(self, path: str, start: int, limit: int) -> tuple[int, Generator[bytes, None, None]]:
        def pieces() -> Generator[bytes, None, None]:
            yield path.encode()[start:]

        return start, pieces()


class Plugin:
    @staticmethod
    @hookspecs.hookimpl
    def edged_open_update(url: str) -> Feed | None:
        return Shelf() if url.startswith("shelf:") else None


def from_plugins(url: str) -> Feed | None:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin())
    found: Feed | None = manager.hook.edged_open_update(url=url)
    return found


def test_schemes(tmp_path: Path) -> None:
    assert isinstance(open_feed("https://models.example"), HttpFeed)
    assert isinstance(open_feed(str(tmp_path)), FolderFeed)
    (tmp_path / "a stick").mkdir()
    assert isinstance(open_feed(f"file://{tmp_path}/a%20stick"), FolderFeed)
    assert isinstance(open_feed("shelf:7", from_plugins), Shelf)
    with pytest.raises(ConfigError, match=r"nothing opens 'gopher' \(built in: file, http, https\)"):
        open_feed("gopher://x", from_plugins)
    with pytest.raises(ConfigError, match="is no folder"):
        open_feed("/nowhere")


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "x").write_bytes(b"0123456789")
    feed = FolderFeed(tmp_path)
    begins, pieces = feed.open("blobs/x", 4, 100)
    assert (begins, b"".join(pieces)) == (4, b"456789")
    with pytest.raises(NotThereError):
        feed.open("blobs/y", 0, 1)


def test_a_stick_that_is_pulled_out(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    _, pieces = FolderFeed(tmp_path).open("x", 0, 10)
    (tmp_path / "x").unlink()
    with pytest.raises(FeedError, match="No such file"):
        next(pieces)
