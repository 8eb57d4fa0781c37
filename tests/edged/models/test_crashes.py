"""kill -9 at every point of an update, and at any time: nothing is lost, nothing unverified is active, and
the next run converges."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from support.model_repository import Repository
from support.update_device import End, check, publish, run


@pytest.mark.parametrize("delta", [False, True], ids=["full", "delta"])
def test_every_point(tmp_path: Path, delta: bool) -> None:
    """Killed at the first point, then at the second, ... of the way from one version to the next."""
    repository = Repository(tmp_path / "repository")
    publish(repository, 1, delta=False)
    run(tmp_path / "device", repository)
    version, at, names = 1, 0, set()
    while True:
        version += 1
        publish(repository, version, delta=delta)
        ended = run(tmp_path / "device", repository, End(at=at))
        names.update(ended.reached[-1:])
        assert check(tmp_path / "device") in (version - 1, version)
        if not ended.killed:
            break
        assert not run(tmp_path / "device", repository).killed
        assert check(tmp_path / "device") == version
        at += 1
    assert at > 30
    assert {
        "put.rename",
        "stage.commit",
        "attempt.commit",
        "trial",
        "succeed.commit",
        "floors.commit",
    } <= names
    assert ("delta.applied" in names) == delta
    print(f"{at} points")


def random_kills(folder: Path, updates: int, seed: int) -> tuple[int, int]:
    """(kills, updates that a killed process had already finished) over that many updates."""
    rng = random.Random(seed)
    repository = Repository(folder / "repository")
    device = folder / "device"
    publish(repository, 1, delta=False)
    begun = time.monotonic()
    run(device, repository)
    usual = time.monotonic() - begun
    kills = finished = 0
    for version in range(2, updates + 2):
        publish(repository, version, delta=rng.random() < 0.5)
        for _kill in range(rng.choice([1, 2])):
            kills += run(device, repository, End(after=rng.uniform(0.0, usual))).killed
            assert check(device) in (version - 1, version)
        finished += check(device) == version
        assert not run(device, repository).killed
        assert check(device) == version
    return kills, finished


def test_random_kills(tmp_path: Path) -> None:
    kills, finished = random_kills(tmp_path, 25, seed=1)
    print(f"{kills} kills, {finished} after the commit")
    assert kills >= 15


@pytest.mark.long
def test_a_thousand_random_kills(tmp_path: Path) -> None:
    kills = finished = seed = 0
    while kills < 1000:
        more, done = random_kills(tmp_path / str(seed), 50, seed)
        kills, finished, seed = kills + more, finished + done, seed + 1
    print(f"{kills} kills, {finished} after the commit, 0 lost")
