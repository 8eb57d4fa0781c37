"""Attacks on the way: servers that lie about what they send, never end, drip, cut, redirect. Each is refused
within bounds or converged on; the old version serves throughout, and the same poll with an honest server
passes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from edged.demo import FOLDER
from edged.errors import EdgedError
from edged.models.feeds import HttpFeed
from edged.models.fetch import Pace
from edged.models.manifest import Delta
from edged.publish import blobs, release
from edged.source import read_model
from sim import hostile_server as hostile
from sim.hostile_server import HostileServer, Trick, on
from support.attacked import Scene, begin
from support.publisher import open_at


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Digits 1 serves, digits 2 is rolled out and has no delta."""
    with open_at(tmp_path / "workspace", new=True) as workspace:
        made = begin(workspace, tmp_path)
        made.release(2, deltas=0)
        yield made


@pytest.fixture
def server(scene: Scene) -> Iterator[HostileServer]:
    with hostile.serving(scene.public) as made:
        scene.device.feed = HttpFeed(made.url)
        yield made
        scene.device.feed.close()


def refusal(scene: Scene) -> str:
    """What a poll that brings nothing says; the version before must serve."""
    try:
        assert scene.device.poll() == []
    except EdgedError as error:
        said = str(error)
    else:
        said = scene.device.reasons()
    assert scene.device.serves() == 1
    return said


def passes(scene: Scene) -> None:
    """The next poll brings digits 2, and it serves."""
    assert scene.device.poll() == [2]
    scene.device.activate()
    assert scene.device.serves() == 2


REFUSED: dict[str, tuple[Trick, str]] = {
    "a blob without an end": (on("/blobs/", hostile.endless), "not those that were signed"),
    "a timestamp without an end": (on("/metadata/timestamp", hostile.endless), "maximum allowed length"),
    "a snapshot without an end": (on("/metadata/5.snapshot", hostile.endless), "maximum allowed length"),
    "a root without an end": (on("/metadata/2.root", hostile.endless), "maximum allowed length"),
    "a manifest without an end": (on("/targets/models", hostile.endless), "length"),
    "a blob that says it is gzip": (on("/blobs/", hostile.packed), "ended at byte|not those that were signed"),
    "metadata that say they are gzip": (on("/metadata/timestamp", hostile.packed), "refused|metadata"),
    "a redirect to a file": (on("/blobs/", hostile.redirect("file:///etc/passwd")), "redirected to file"),
    "a redirect to nowhere": (on("/blobs/", hostile.redirect("")), "redirects"),
    "a redirect to itself": (on("/metadata/timestamp", hostile.redirect("/metadata/timestamp.json")), "3 redirects"),
    "blobs: 500": (on("/blobs/", hostile.status(500)), "http 500"),
    "blobs: 403": (on("/blobs/", hostile.status(403)), "not there"),
    "metadata: 503": (on("/metadata/", hostile.status(503)), "503"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_bounds_and_the_next_honest_answer_passes(
    scene: Scene, server: HostileServer, name: str
) -> None:
    server.trick, words = REFUSED[name][0], REFUSED[name][1]
    said = refusal(scene)
    assert re.search(words, said), said
    assert server.sent < 64 << 20, "the device went on taking what it could not use"  # of 128 MB an answer
    assert all(p.stat().st_size <= 20_176 for p in (scene.device.root / "partial").iterdir())
    server.trick = None
    passes(scene)


CONVERGED: dict[str, Trick] = {
    "blobs that have moved": on(
        "/blobs/", lambda r: "?" not in r.path and hostile.redirect(r.path + "?here")(r)
    ),
    "more behind the end of blobs": on("/blobs/", hostile.overlong),
    "a server without Range that cuts": on("/blobs/", hostile.without_range),
    "half of the answers cut, 30 % with a flipped bit, 30 % refused": on(
        "/blobs/", hostile.unlucky(0.5, 0.3, 0.3)
    ),
}


@pytest.mark.parametrize("name", CONVERGED)
def test_converges(scene: Scene, server: HostileServer, name: str) -> None:
    server.trick = CONVERGED[name]
    for _ in range(30):
        assert scene.device.serves() == 1
        if scene.device.poll() == [2]:
            break
    scene.device.activate()
    assert scene.device.serves() == 2


def large(scene: Scene, size: int = 5_000_000) -> Path:
    """A valid model of about `size` bytes: digits with random bytes behind it, which a reader passes over."""
    path = scene.folder / "large.tflite"
    path.write_bytes((FOLDER / "digits_int8.tflite").read_bytes() + np.random.default_rng(4).bytes(size))
    read_model(path)
    return path


def test_nine_answers_of_ten_cut_cost_a_quarter_more_bytes_at_most(
    scene: Scene, server: HostileServer
) -> None:
    path = large(scene)
    scene.release(3, path, deltas=0)
    server.trick = on("/blobs/", hostile.unlucky(0.9))
    for polls in count(1):
        assert polls <= 50
        if scene.device.poll() == [3]:
            break
    size = path.stat().st_size
    assert server.sent <= 1.25 * size, f"{server.sent / size:.2f} times the file"
    scene.device.activate()
    assert scene.device.serves() == 3


def test_a_wrong_content_range_is_never_believed(scene: Scene, server: HostileServer) -> None:
    """Bytes that are not those that were asked for are refused, before and after a restart."""
    scene.release(3, large(scene, 600_000), deltas=0)
    server.trick = on("/blobs/", hostile.unlucky(1.0, seed=3))
    refusal(scene)
    server.trick = on("/blobs/", hostile.wrong_range)
    assert "the answer begins at" in refusal(scene)
    server.trick = None
    assert scene.device.poll() == [3]


class Drip:
    """A feed whose clock moves a second for every piece, and whose pieces have one byte."""

    def __init__(self, scene: Scene, slow: str) -> None:
        self.inner, self.slow, self.time = scene.device.feed, slow, 0.0
        scene.device.feed = self  # type: ignore[assignment]
        scene.device.pace = Pace(lambda: self.time, lambda _seconds: None)

    def open(self, path: str, start: int, limit: int) -> tuple[int, Iterator[bytes]]:
        begins, pieces = self.inner.open(path, start, limit)
        return begins, self._dripped(pieces) if path.startswith(self.slow) else pieces

    def _dripped(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for piece in pieces:
                for byte in piece:
                    self.time += 1.0
                    yield bytes([byte])
        finally:
            pieces.close()  # type: ignore[attr-defined]

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize(
    ("slow", "words"), [("blobs/", "too slow"), ("metadata/timestamp", "not finished in")]
)
def test_a_drip_is_ended(scene: Scene, slow: str, words: str) -> None:
    drip = Drip(scene, slow)
    assert words in refusal(scene)
    assert drip.time < 600, "it was put up with for longer than ten minutes"
    scene.device.feed = drip.inner
    passes(scene)


def _with_delta(scene: Scene, patch: bytes, algorithm: str = "tensor-diff-zstd") -> None:
    """Digits 2 with a signed delta that is not what it should be."""
    manifests = release.released(scene.workspace, scene.workspace.edition(), "digits")
    base = next(m for m in manifests if m.version == 1)
    blob = blobs.put_bytes(scene.public, patch)
    real = blobs.deltas
    try:
        made = Delta(base=base.file.sha256, algorithm=algorithm, blob=blob)  # type: ignore[arg-type]
        blobs.deltas = lambda *_: (made,)  # type: ignore[assignment]
        scene.release(3)
    finally:
        blobs.deltas = real


def _patch(scene: Scene, algorithm: str) -> bytes:
    """An honest patch from digits 1 to digits 3, a little damaged in its last frame."""
    from edged.models import delta
    from support.publisher import moved

    new, patch = moved(FOLDER / "digits_int8.tflite", scene.folder / "new.tflite"), scene.folder / "patch"
    with patch.open("wb") as file:
        delta.make(algorithm, FOLDER / "digits_int8.tflite", new, file)
    return patch.read_bytes()


@pytest.mark.parametrize(
    "kind", ["random", "another file's", "cut", "a bomb"],
)  # fmt: skip
@pytest.mark.parametrize("algorithm", ["tensor-diff-zstd", "zstd-patch"])
def test_a_hostile_delta_falls_back_to_the_whole_file(scene: Scene, algorithm: str, kind: str) -> None:
    import zstandard

    honest = _patch(scene, algorithm)
    patch = {
        "random": np.random.default_rng(1).bytes(500),
        "another file's": honest[:-1] + bytes([honest[-1] ^ 1]),
        "cut": honest[:-3],
        "a bomb": honest[:16] + b"\x04\x00\x10\x00\x00" + zstandard.compress(bytes(32 << 20)),
    }[kind]
    _with_delta(scene, patch, algorithm)
    assert scene.device.poll() == [3]
    assert any(e["event"] == "delta refused" for e in scene.device.events)
    scene.device.activate()
    assert scene.device.serves() == 3


def test_the_control_an_honest_delta_is_used(scene: Scene) -> None:
    scene.release(3, deltas=1)
    scene.device.poll()
    scene.device.activate()
    assert scene.device.serves() == 3


def test_a_plugin_scheme_that_nobody_opens_is_refused(scene: Scene) -> None:
    from edged.models.feeds import open_feed

    with pytest.raises(EdgedError, match="nothing opens 'gopher'"):
        open_feed("gopher://host/")
