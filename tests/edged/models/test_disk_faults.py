"""A disk that is full, read-only, or gives back other bytes: refused with a reason, the old version stays, and the next
run converges."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edged.models import blobs as blobs_module
from edged.models.errors import StoreError
from edged.models.store import Store
from support.model_repository import Repository
from support.power import MIB, Disk
from support.update_device import check, content, publish, update


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path, size=24 * MIB)
    yield made
    made.close()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    publish(made, 1, delta=False)
    return made


def go(device: Path, repository: Repository) -> None:
    update(device, repository.root, repository.bootstrap)


def fill(folder: Path, leave: int) -> Path:
    """Takes all space but `leave` bytes."""
    place = folder / "ballast"
    size = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leave
    with place.open("wb") as file:
        while size > 0:
            try:
                os.posix_fallocate(file.fileno(), 0, size)
                break
            except OSError:  # the file system takes some for itself
                size -= 4096
    return place


@pytest.mark.parametrize("leave", [0, 30_000, 90_000, 200_000])
def test_full_in_the_middle(
    disk: Disk, repository: Repository, leave: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of free space, as when somebody else fills the disk meanwhile."""
    monkeypatch.setattr(blobs_module, "RESERVE", -(1 << 40))
    device = disk.mount / "device"
    go(device, repository)
    ballast = fill(disk.mount, leave)
    publish(repository, 2, delta=False)
    with suppress(StoreError):  # raised where not even the metadata could be kept
        go(device, repository)
    assert check(device) in ((1,) if leave < len(content(2)) else (1, 2))
    ballast.unlink()
    go(device, repository)
    assert check(device) == 2


def test_too_little_space_is_seen_before_the_first_byte(disk: Disk, repository: Repository) -> None:
    device = disk.mount / "device"
    go(device, repository)
    fill(disk.mount, 4 * MIB)
    publish(repository, 2, delta=False)
    go(device, repository)
    assert check(device) == 1
    assert not list((device / "partial").iterdir())


def test_read_only(disk: Disk, repository: Repository) -> None:
    device = disk.mount / "device"
    go(device, repository)
    publish(repository, 2, delta=False)
    disk.read_only(True)
    with pytest.raises(StoreError):
        go(device, repository)
    disk.read_only(False)
    assert check(device) == 1
    go(device, repository)
    assert check(device) == 2


def test_torn_partial_files_are_mended(tmp_path: Path, repository: Repository) -> None:
    """Each of these stood at the blob's place in partial/ before: a beginning, too much, other bytes, a hole."""
    good = content(2)
    for number, torn in enumerate(
        [good[:10_001], good + b"more", b"\0" * len(good), good[:8192] + b"\0" * 9000]
    ):
        device = tmp_path / f"device{number}"
        go(device, repository)
        publish(repository, 2 + number, delta=False)
        manifest = repository.release("m", 2 + number, good, golden=b"golden")
        (device / "partial" / manifest.file.sha256).write_bytes(torn)
        go(device, repository)
        assert check(device) == 2 + number


def test_torn_metadata_is_fetched_again(tmp_path: Path, repository: Repository) -> None:
    device = tmp_path / "device"
    go(device, repository)
    for number, name in enumerate(["root", "timestamp", "snapshot", "targets", "models", "rollout"]):
        place = device / "tuf" / "metadata" / f"{name}.json"
        data = place.read_bytes()
        if place.is_symlink():
            place.unlink()  # as a power cut between tuf's two steps leaves it
        else:
            place.write_bytes(data[: len(data) // 2])
        publish(repository, 2 + number, delta=False)
        go(device, repository)
        assert check(device) == 2 + number


def test_a_damaged_database_says_what_to_do(tmp_path: Path, repository: Repository) -> None:
    device = tmp_path / "device"
    go(device, repository)
    for part in device.glob("store.db*"):
        part.write_bytes(b"\x55" * 8192)
    with pytest.raises(StoreError, match=r"move .* away"):
        go(device, repository)
    for part in device.glob("store.db*"):
        part.unlink()
    go(device, repository)
    assert check(device) == 1


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="opening"):
        Store(tmp_path / "file" / "store")


def test_a_clock_that_jumps(tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """2099 is refused, as all has expired by then, and leaves no floor that would bar today."""
    device = tmp_path / "device"
    go(device, repository)
    publish(repository, 2, delta=False)
    today = time.time()
    monkeypatch.setattr(time, "time", lambda: today + 73 * 365.25 * 86400)
    with pytest.raises(Exception, match="expired"):
        go(device, repository)
    monkeypatch.undo()
    go(device, repository)
    assert check(device) == 2
