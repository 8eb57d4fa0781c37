"""A publication that is stopped at any point leaves a whole repository served, and the next one completes
it."""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.publish import edition, release, rollout, rotation
from edged.publish.workspace import Workspace
from support.publisher import open_at
from support.tuf_device import TufDevice

Work = Callable[[Workspace], object]
WORK: dict[str, Work] = {
    "release": release.release,
    "rollout": lambda w: rollout.change(w, "stable", "digits", rollout.Change(percent=10)),
    "renew": lambda w: release.release(w, renew=["targets", "models", "rollout"]),
    **{f"rotate {r}": lambda w, r=r: rotation.rotate(w, r) for r in edition.ROLES},  # type: ignore[misc]
}
"""What is done, with a draft of digits 2 in the workspace."""


@pytest.fixture
def drafted(folder: Path, second: Path) -> Path:
    """A workspace with digits 2 drafted."""
    with open_at(folder) as opened:
        release.add(opened, second, "digits", 2)
    return folder


def _stopped(folder: Path, work: Work, after: int) -> bool:
    """Works in a child that is killed before its rename number `after` (counted from 0); whether it was
    killed."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of threads: the child starts none and takes no lock
        child = os.fork()
    if not child:
        left = after
        real = os.replace

        def counted(source: str, place: Path) -> None:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            real(source, place)

        status = 1
        try:
            os.replace = counted  # type: ignore[assignment]
            with open_at(folder) as opened:
                work(opened)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed without being killed"
    return os.WIFSIGNALED(status)


def _served(public: Path, state: Path, root: bytes) -> tuple[bytes | None, ...]:
    """What a client that knows only the first root finds."""
    device = TufDevice(public, state, root)
    paths = ("models/digits/1.json", "models/digits/2.json", "rollout/stable.json")
    return tuple(device.target(path) for path in paths)


@pytest.mark.parametrize("name", WORK)
def test_stopped_anywhere_it_serves_the_old_or_the_new_and_completes(
    drafted: Path, tmp_path: Path, name: str
) -> None:
    root = (drafted / "public" / "metadata" / "1.root.json").read_bytes()
    before = _served(drafted / "public", tmp_path / "before", root)
    complete = Path(shutil.copytree(drafted, tmp_path / "complete"))
    assert not _stopped(complete, WORK[name], 10_000)
    after = _served(complete / "public", tmp_path / "after", root)
    stops = 0
    while True:
        copy = Path(shutil.copytree(drafted, tmp_path / f"copy{stops}"))
        if not _stopped(copy, WORK[name], stops):
            break
        state = tmp_path / f"device{stops}"
        assert _served(copy / "public", state, root) in (before, after), f"half a state after stop {stops}"
        with open_at(copy) as opened:
            WORK[name](opened)
        assert _served(copy / "public", state, root) == after, f"not completed after stop {stops}"
        assert not list(copy.rglob(".*")), "an unfinished file was left"
        stops += 1
    assert stops >= 3, "the work was never stopped: the test tests nothing"


def test_metadata_files_are_never_written_twice(drafted: Path) -> None:
    """Except the timestamp: so a host may serve them as immutable, also those of a stopped publication."""
    assert _stopped(drafted, release.release, 2)
    before = {p: p.read_bytes() for p in (drafted / "public" / "metadata").iterdir()}
    with open_at(drafted) as opened:
        release.release(opened)
    changed = [p.name for p, data in before.items() if p.exists() and p.read_bytes() != data]
    assert changed == ["timestamp.json"]


def test_a_release_stopped_before_it_cleared_its_drafts_goes_on(opened: Workspace, second: Path) -> None:
    release.add(opened, second, "digits", 2)
    draft = (opened.drafts / "digits" / "2.json").read_bytes()
    release.release(opened)
    (opened.drafts / "digits" / "2.json").write_bytes(draft)
    assert [m.version for m in release.release(opened)] == [2]
    assert release.drafts(opened) == []
