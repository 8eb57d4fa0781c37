"""A real daemon that takes versions from a repository: swapped under its clients, judged, rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edged_ipc.errors import IpcError
from support.daemon import RunningDaemon, running
from support.model_repository import Repository
from support.small_models import chain
from support.versions import answer, release, toml

INPUT = np.arange(8, dtype=np.int8)[None]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    release(made, 1)
    return made


@pytest.fixture
def daemon(tmp_path: Path, repository: Repository) -> Iterator[RunningDaemon]:
    with running(tmp_path, toml(tmp_path, repository)) as made:
        update(made)
        yield made


def update(daemon: RunningDaemon, seconds: float = 100.0) -> dict[str, Any]:
    """A poll, its trials, and the facts when both are over."""
    number = daemon.control("update")["asked"]
    end = time.monotonic() + seconds
    while True:
        facts: dict[str, Any] = daemon.control("models")
        if facts["poll"]["done"] >= number and not any(
            v["state"] in ("staged", "trial") for v in facts["versions"]
        ):
            return facts
        assert time.monotonic() < end, (facts, daemon.log)
        time.sleep(0.02)


def states(facts: dict[str, Any]) -> dict[int, str]:
    return {v["version"]: v["state"] for v in facts["versions"]}


def serves(daemon: RunningDaemon, version: int) -> bool:
    """Whether the answer is that version's."""
    with daemon.connect() as client, client.open("net") as model:
        output = model({"x": INPUT})["y"]
    return bool(np.array_equal(output, answer(chain(seed=version), INPUT)))


def test_a_version_comes_and_is_swapped_under_an_open_session(
    daemon: RunningDaemon, repository: Repository
) -> None:
    with daemon.connect() as client, client.open("net") as model:
        assert np.array_equal(model({"x": INPUT})["y"], answer(chain(seed=1), INPUT))
        release(repository, 2)
        facts = update(daemon)
        assert states(facts) == {2: "active", 1: "retired"}
        assert np.array_equal(model({"x": INPUT})["y"], answer(chain(seed=2), INPUT))


def test_a_wrong_golden_output_is_rolled_back_and_says_why(
    daemon: RunningDaemon, repository: Repository
) -> None:
    release(repository, 2, spoilt=True)
    facts = update(daemon)
    assert states(facts) == {2: "rolled back", 1: "active"}
    assert "golden case 2, output 'y'" in facts["versions"][0]["reason"]
    assert serves(daemon, 1)
    assert states(update(daemon)) == {2: "rolled back", 1: "active"}


def test_a_file_that_is_no_model_is_rolled_back(daemon: RunningDaemon, repository: Repository) -> None:
    repository.release("net", 2, b"TFL3 is not enough" * 100)
    facts = update(daemon)
    assert states(facts) == {2: "rolled back", 1: "active"}
    assert serves(daemon, 1)


def test_a_latency_limit_is_kept(daemon: RunningDaemon, repository: Repository) -> None:
    release(repository, 2, latency_us=1)
    facts = update(daemon)
    assert "the limit is 1 us" in facts["versions"][0]["reason"]


def test_a_device_that_is_not_there_is_waited_for(daemon: RunningDaemon, repository: Repository) -> None:
    """And costs no attempt: another gateway's NPU is no fault of the version's."""
    made = release(repository, 2)
    repository.add(msgspec.structs.replace(made, backends=("npu:other",)))
    repository.publish("models")
    number = daemon.control("update")["asked"]
    while daemon.control("models")["poll"]["done"] < number:  # type: ignore[index, operator]
        time.sleep(0.02)
    facts: dict[str, Any] = daemon.control("models")
    assert states(facts) == {2: "staged", 1: "active"}
    assert facts["versions"][0]["attempts"] == 0
    assert "needs the backend 'npu:other'" in facts["waiting"]["net"]


def test_the_active_version_serves_after_a_crash_and_without_the_repository(
    daemon: RunningDaemon, repository: Repository
) -> None:
    repository.root.rename(repository.root.with_name("gone"))
    daemon.restart()
    assert serves(daemon, 1)


def test_three_crashes_on_probation_bar_a_version(daemon: RunningDaemon, repository: Repository) -> None:
    release(repository, 2)
    update(daemon)
    for _crash in range(3):
        assert serves(daemon, 2)
        daemon.restart()
    assert serves(daemon, 2)
    daemon.restart()
    assert serves(daemon, 1)
    facts: dict[str, Any] = daemon.control("models")
    assert states(facts) == {2: "rolled back", 1: "active"}
    assert "ended 3 processes" in facts["versions"][0]["reason"]


def test_an_operator_rolls_back_and_pins(daemon: RunningDaemon, repository: Repository) -> None:
    with pytest.raises(IpcError, match="no version before"):
        daemon.control("rollback", name="net")
    release(repository, 2)
    update(daemon)
    assert daemon.control("rollback", name="net")["version"] == 1
    assert serves(daemon, 1)
    release(repository, 3)
    daemon.control("pin", name="net", version=1)
    assert states(update(daemon))[1] == "active"
    daemon.control("pin", name="net", version=None)
    assert states(update(daemon))[3] == "active"
    assert serves(daemon, 3)


def test_a_damaged_file_is_not_loaded_and_comes_again(daemon: RunningDaemon, repository: Repository) -> None:
    daemon.stop()
    sha256 = _digest(daemon)
    path = daemon.folder / "state" / "updates" / "blobs" / sha256[:2] / sha256
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    daemon.start()
    with daemon.connect() as client, pytest.raises(IpcError, match="net"):
        client.open("net")
    update(daemon)
    assert serves(daemon, 1)


def _digest(daemon: RunningDaemon) -> str:
    from edged.models.store import Store

    store = Store(daemon.folder / "state" / "updates")
    record = store.active("net")
    store.close()
    assert record is not None
    return record.manifest.file.sha256


def test_an_update_wins_over_a_model_of_the_configuration(tmp_path: Path, repository: Repository) -> None:
    from edged.formats import tflite

    path = tmp_path / "own.tflite"
    path.write_bytes(tflite.write(chain(seed=9)))
    own = f'[[model]]\nname = "net"\npath = "{path}"\nkeep = true\n'
    with running(tmp_path, own + toml(tmp_path, repository)) as daemon:
        assert serves(daemon, 9)
        update(daemon)
        assert serves(daemon, 1)
        daemon.restart()
        assert serves(daemon, 1)


def test_without_updates_the_commands_say_so(tmp_path: Path) -> None:
    with running(tmp_path) as daemon, pytest.raises(IpcError, match=r"set \[updates\] root"):
        daemon.control("models")
