"""One poll after another against a repository of our own making, in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic, time

import numpy as np
import pytest

from edged.models.blobs import Blobs
from edged.models.errors import StoreError, TrustError
from edged.models.feeds import FolderFeed
from edged.models.fetch import Pace
from edged.models.manifest import RolloutRule
from edged.models.states import State
from edged.models.store import Store
from edged.models.updater import Poll, Settings
from support.model_repository import Repository


def noise(size: int, seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


class Device:
    """A device's store, polled by hand."""

    def __init__(self, root: Path, repository: Repository, quota: int = 1 << 30) -> None:
        self.root, self.repository = root, repository
        self.store = Store(root)
        self.blobs = Blobs(root, quota)
        self.feed = FolderFeed(repository.root)
        self.events: list[dict[str, object]] = []
        self.pins: dict[str, int] = {}
        self.clock: Callable[[], float] = time

    def poll(self) -> list[int]:
        """Versions that were staged."""
        settings = Settings("stable", "device-1", self.repository.bootstrap, pins=self.pins)
        self.events.clear()
        pace = Pace(monotonic, lambda _s: None)
        with self.store.lock():
            poll = Poll(
                self.store, self.blobs, self.feed, settings, now=self.clock, pace=pace,
                report=lambda e: self.events.append(dict(e)),
            )  # fmt: skip
            return [m.version for m in poll.run()]

    def activate(self) -> None:
        """What the daemon does with candidates that do well."""
        for record in self.store.candidates():
            assert self.store.begin_trial(record, time())
            self.store.succeed(self.store.record(record.model, record.version), time(), 0.0)
            self.store.settle(self.store.record(record.model, record.version), time())

    def active(self, model: str = "m") -> int | None:
        record = self.store.active(model)
        return record.version if record else None

    def reasons(self) -> str:
        return "; ".join(str(e.get("reason", "")) for e in self.events)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def device(tmp_path: Path, repository: Repository) -> Device:
    repository.release("m", 1, noise(50_000, 1))
    return Device(tmp_path / "device", repository)


def test_brings_a_version_and_then_rests(device: Device) -> None:
    assert device.poll() == [1]
    record = device.store.record("m", 1)
    assert record.state is State.STAGED
    assert device.blobs.check(record.manifest.file.sha256).read_bytes() == noise(50_000, 1)
    assert device.poll() == []
    device.activate()
    assert device.active() == 1
    assert device.poll() == []
    assert "up to date" in device.reasons()


def test_follows_the_rollout_and_keeps_only_what_is_needed(device: Device) -> None:
    for version in range(2, 6):
        device.poll()
        device.activate()
        device.repository.release("m", version, noise(50_000, version))
    device.poll()
    device.activate()
    assert device.active() == 5
    assert device.poll() == []
    kept = {p.name for p in (device.root / "blobs").glob("*/*")}
    files = {device.store.record("m", v).manifest.file.sha256 for v in (4, 5)}
    assert files <= kept
    assert len(kept) == 3  # two files, and the golden blob that they share


def test_a_pause_a_percentage_and_a_pin(device: Device) -> None:
    device.poll()
    device.activate()
    repository = device.repository
    repository.add(repository.manifest("m", 2, noise(9000, 2)))
    repository.roll("m", RolloutRule(version=2, paused=True))
    repository.publish("models", "rollout")
    assert device.poll() == []
    assert "paused" in device.reasons()
    repository.roll("m", RolloutRule(version=2, percent=0.0))
    repository.publish("rollout")
    assert device.poll() == []
    assert "not this device" in device.reasons()
    device.store.pin("m", 2)
    assert device.poll() == [2]


def test_a_version_that_failed_is_not_brought_again(device: Device) -> None:
    device.poll()
    device.store.fail(device.store.record("m", 1), "wrong golden outputs", time())
    assert device.poll() == []
    assert "has failed here" in device.reasons()


def test_refuses_an_old_repository_after_its_own_cache_was_emptied(device: Device, tmp_path: Path) -> None:
    old = {
        p.relative_to(device.repository.root): p.read_bytes() for p in device.repository.root.rglob("*.json")
    }
    device.poll()
    device.activate()
    device.repository.release("m", 2, noise(9000, 2))
    device.poll()
    device.activate()
    for path, data in old.items():
        (device.repository.root / path).write_bytes(data)
    for cached in (device.root / "tuf" / "metadata").glob("*.json"):
        cached.unlink() if cached.is_symlink() else cached.write_bytes(b"")
    with pytest.raises(TrustError, match="has seen"):
        device.poll()
    assert device.active() == 2


def test_refuses_what_has_expired_by_the_latest_time_it_has_seen(device: Device) -> None:
    device.repository.days = 2
    device.repository.publish("models", "rollout", "targets")
    device.poll()
    device.clock = lambda: time() + 86400
    device.poll()
    device.repository.days = 0.5
    device.repository.publish()
    device.clock = lambda: 600_000_000.0  # 1989
    with pytest.raises(TrustError, match="clock was later once"):
        device.poll()


def test_a_tampered_blob_is_not_kept(device: Device) -> None:
    (blob,) = [p for p in (device.repository.root / "blobs").iterdir() if p.stat().st_size == 50_000]
    data = bytearray(blob.read_bytes())
    data[30_000] ^= 1
    blob.write_bytes(data)
    assert device.poll() == []
    assert "not those that were signed" in device.reasons()
    data[30_000] ^= 1
    blob.write_bytes(data)
    assert device.poll() == [1]


def test_quota_is_checked_before_the_first_byte(tmp_path: Path, repository: Repository) -> None:
    repository.release("m", 1, noise(50_000, 1))
    device = Device(tmp_path / "device", repository, quota=40_000)
    assert device.poll() == []
    assert "quota" in device.reasons()
    assert not list((device.root / "partial").iterdir())


def test_a_floor_bars_older_versions(device: Device) -> None:
    repository = device.repository
    repository.release("m", 3, noise(9000, 3), floor=3)
    device.poll()
    device.activate()
    assert device.store.model_floor("m") == 3
    repository.roll("m", RolloutRule(version=1))
    repository.publish("rollout")
    assert device.poll() == []
    assert "below the floor 3" in device.reasons()


def test_a_newer_edged_is_asked_for(device: Device) -> None:
    device.repository.release("m", 2, noise(9000, 2), min_edged="999.1")
    assert device.poll() == []
    assert "needs edged 999.1" in device.reasons()


def test_one_updater_at_a_time(device: Device) -> None:
    with device.store.lock(), pytest.raises(StoreError, match="under way"), Store(device.root).lock():
        pass


def test_another_models_failure_holds_nobody_up(device: Device) -> None:
    device.repository.release("a", 1, noise(9000, 7))
    for blob in (device.repository.root / "blobs").iterdir():
        if blob.stat().st_size == 9000:
            blob.unlink()
    assert device.poll() == [1]
    assert "is not there" in device.reasons()
