"""A gateway whose state folder has become read-only, or full: what was active serves on, also after a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.daemon import RunningDaemon, running
from support.model_repository import Repository
from support.power import Disk
from support.small_models import chain
from support.versions import answer, release, toml

X = np.arange(8, dtype=np.int8)[None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.close()


def serves(daemon: RunningDaemon, version: int) -> bool:
    with daemon.connect() as client, client.open("net") as model:
        return bool(np.array_equal(model({"x": X})["y"], answer(chain(seed=version), X)))


def test_it_serves_on_and_updates_when_it_can_be_written_again(tmp_path: Path, disk: Disk) -> None:
    repository = Repository(tmp_path / "repository")
    release(repository, 1)
    (tmp_path / "state").symlink_to(disk.mount)
    with running(tmp_path, toml(tmp_path, repository)) as daemon:
        poll(daemon)
        assert serves(daemon, 1)
        daemon.stop()
        disk.read_only(True)
        daemon.start()
        assert serves(daemon, 1)
        release(repository, 2)
        poll(daemon)
        assert "read-only" in daemon.log.lower() or "readonly" in daemon.log.lower()
        assert serves(daemon, 1)
        disk.read_only(False)
        poll(daemon)
        assert serves(daemon, 2)
        daemon.stop()


def poll(daemon: RunningDaemon) -> None:
    """A poll that has ended, well or not."""
    number = daemon.control("update")["asked"]
    end = time.monotonic() + 30
    while daemon.control("models")["poll"]["done"] < number:  # type: ignore[index, operator]
        assert time.monotonic() < end, daemon.log
        time.sleep(0.05)
