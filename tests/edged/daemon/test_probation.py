"""A version that passed its trial serves on probation: one that does badly with real requests gives way to the one before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.formats import tflite
from support.daemon import RunningDaemon, running
from support.model_repository import Repository
from support.small_models import chain
from support.versions import INPUTS, OUTPUTS, golden, release, toml

X = {"x": np.arange(8, dtype=np.int8)[None]}


def wait(daemon: RunningDaemon, version: int, state: str, seconds: float = 60.0) -> dict[str, Any]:
    """That version's facts once it is in that state."""
    end = time.monotonic() + seconds
    while True:
        facts: dict[str, Any] = daemon.control("models")
        found = next((v for v in facts["versions"] if v["version"] == version), None)
        if found is not None and found["state"] == state:
            return dict(found)
        assert time.monotonic() < end, (facts, daemon.log)
        time.sleep(0.02)


def ask(daemon: RunningDaemon, count: int) -> None:
    with daemon.connect() as client, client.open("net") as model:
        for _ in range(count):
            model(X)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    release(made, 1)
    return made


def test_a_version_that_is_much_slower_is_rolled_back(tmp_path: Path, repository: Repository) -> None:
    with running(tmp_path, toml(tmp_path, repository)) as daemon:
        daemon.control("update")
        wait(daemon, 1, "active")
        ask(daemon, 100)
        slow = chain(layers=1500, seed=2)
        repository.release(
            "net", 2, tflite.write(slow), golden=golden(slow), cases=3, inputs=INPUTS, outputs=OUTPUTS
        )
        daemon.control("update")
        assert wait(daemon, 2, "active")["watch_until"] > time.time()
        ask(daemon, 100)
        assert "times as long as the version before" in wait(daemon, 2, "rolled back")["reason"]
        assert "serves again" in wait(daemon, 1, "active")["reason"]
        ask(daemon, 1)


def test_a_version_that_does_well_is_settled_and_its_floor_counts(tmp_path: Path, repository: Repository) -> None:
    with running(tmp_path, toml(tmp_path, repository, watch_seconds=0.5)) as daemon:
        release(repository, 2, floor=2)
        daemon.control("update")
        wait(daemon, 2, "active")
        end = time.monotonic() + 20
        while wait(daemon, 2, "active")["watch_until"]:
            ask(daemon, 5)
            assert time.monotonic() < end, daemon.log
        while "has done well" not in daemon.log:  # said after it is committed
            assert time.monotonic() < end, daemon.log
            time.sleep(0.01)
        release(repository, 3)
        repository.roll("net", repository.rules["net"].__class__(version=1))
        repository.publish("rollout")
        daemon.control("update")
        while not any("below the floor 2" in str(e) for e in daemon.control("models")["poll"]["events"]):  # type: ignore[index]
            assert time.monotonic() < end + 20, daemon.control("models")
            time.sleep(0.05)
