"""A founded workspace, made once and copied for every test; keys with a cheap scrypt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.demo import FOLDER
from edged.publish import release, rollout, workspace
from edged.publish.workspace import Workspace
from support.publisher import moved, open_at
from support.tuf_device import TufDevice


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with digits 1 released and rolled out to all of channel stable. Copy it; change nothing."""
    folder = tmp_path_factory.mktemp("founded") / "workspace"
    with open_at(folder, new=True) as opened:
        workspace.found(opened)
        release.add(opened, FOLDER / "digits_int8.tflite", "digits", 1)
        release.release(opened)
        rollout.change(opened, "stable", "digits", rollout.Change(version=1))
    return folder


@pytest.fixture
def folder(founded: Path, tmp_path: Path) -> Path:
    """A copy of `founded` for one test."""
    return Path(shutil.copytree(founded, tmp_path / "workspace"))


@pytest.fixture
def opened(folder: Path) -> Iterator[Workspace]:
    """That copy, open."""
    with open_at(folder) as found:
        yield found


@pytest.fixture
def device(folder: Path, tmp_path: Path) -> TufDevice:
    """A TUF client that was shipped with the first root of the copy."""
    public = folder / "public"
    return TufDevice(public, tmp_path / "device", (public / "metadata" / "1.root.json").read_bytes())


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Another version of the digits model: its last bytes of weights moved a little, still a valid model."""
    return moved(FOLDER / "digits_int8.tflite", tmp_path / "digits_second.tflite")
