"""edged update, models, rollback, pin: against a running daemon, as a user types them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.cli.updates import models_text, progress_text
from support.daemon import RunningDaemon, running
from support.model_repository import Repository
from support.versions import release, toml


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path / "repository")
    release(made, 1)
    return made


@pytest.fixture
def daemon(tmp_path: Path, repository: Repository) -> Iterator[RunningDaemon]:
    with running(tmp_path, toml(tmp_path, repository, watch_seconds=0)) as made:
        yield made


def edged(daemon: RunningDaemon, *words: str, status: int = 0) -> str:
    """What the command prints, on both streams."""
    command = [sys.executable, "-m", "edged", "--config", str(daemon.config), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_life_of_a_version(daemon: RunningDaemon, repository: Repository, tmp_path: Path) -> None:
    text = edged(daemon, "update")
    assert re.search(r"net +1 +active", text)
    release(repository, 2, spoilt=True)
    text = edged(daemon, "update")
    assert "rolled back" in text
    assert "golden case 2, output 'y'" in text
    release(repository, 3)
    shutil.copytree(repository.root, tmp_path / "stick")
    text = edged(daemon, "update", "--from", str(tmp_path / "stick"))
    assert re.search(r"net +3 +active", text)
    assert "net version 1 serves again" in edged(daemon, "rollback", "net")
    assert "by the operator" in edged(daemon, "models")
    assert "is pinned" in edged(daemon, "pin", "net", "1")
    facts = json.loads(edged(daemon, "models", "--json"))
    assert facts["pins"] == {"net": 1}
    assert "follows the rollout" in edged(daemon, "pin", "net", "--off")
    assert "asked for" in edged(daemon, "update", "--now")


def test_mistakes(daemon: RunningDaemon, repository: Repository, tmp_path: Path) -> None:
    assert "not one from updates" in edged(daemon, "rollback", "nobody", status=1)
    assert "give a version, or --off" in edged(daemon, "pin", "net", status=2)
    assert "is not a model name" in edged(daemon, "pin", "../net", "1", status=1)
    (tmp_path / "empty").mkdir()
    assert "is not there" in edged(daemon, "update", "--from", str(tmp_path / "empty"), status=1)


def test_texts() -> None:
    progress = {"model": "m", "version": 2, "done": 500_000, "total": 2_000_000, "rate": 1e6}
    assert progress_text(progress) == "m 2: 500 kB of 2 MB (25 %), 1 MB/s"
    facts = {
        "url": "", "channel": "stable", "device": "", "pins": {}, "bytes": 0, "quota_bytes": 1, "progress": progress,
        "waiting": {"m": "it needs"},
        "poll": {"result": "", "events": []}, "versions": [],
    }  # fmt: skip
    assert "25 %" in models_text(facts)
