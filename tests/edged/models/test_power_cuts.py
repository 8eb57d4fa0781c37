"""Power cuts on a real ext4: what the store has called done is there afterwards, and everything it relies on
is whole.

The control runs the same without syncing and must show damage, or else the harness would see none whatever we
do.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.errors import EdgedError
from support.model_repository import Repository
from support.power import Disk
from support.update_device import End, check, never_sync, never_sync_files, publish, run

CONTROLS = (never_sync, never_sync_files)
MODES = {"ordered": "", "writeback": "data=writeback,noauto_da_alloc"}


class Site:
    """A repository, and a device on a disk whose power goes."""

    def __init__(self, folder: Path, options: str) -> None:
        self.repository = Repository(folder / "repository")
        self.disk = Disk(folder, options)
        self.device = self.disk.mount / "device"
        publish(self.repository, 1, delta=False)
        begun = time.monotonic()
        run(self.device, self.repository)
        self.usual = time.monotonic() - begun
        self.version = 1

    def cut(self, end: End) -> tuple[bool, list[str]]:
        """One update with a cut in it, and a restart; whether the power really went in the middle, and what
        is wrong afterwards."""
        self.version += 1
        publish(self.repository, self.version, delta=bool(self.version % 2))
        ended = run(self.device, self.repository, end)
        self.disk.restart()
        wrong = []
        try:
            found = check(self.device)
            if found not in (self.version - 1, self.version):
                wrong.append(f"version {found} is active instead of {self.version - 1} or {self.version}")
            if "succeed.done" in ended.reached and found != self.version:
                wrong.append(f"version {self.version} was committed, and {found} is active")
        except (AssertionError, EdgedError, OSError, sqlite3.Error) as error:
            wrong.append(f"{type(error).__name__}: {error}")
        return "settle.done" not in ended.reached, wrong

    def converge(self) -> None:
        """With power, the newest version becomes active."""
        assert not run(self.device, self.repository).killed
        assert check(self.device) == self.version

    def begin_anew(self) -> None:
        """Another device on the same disk."""
        shutil.rmtree(self.device, ignore_errors=True)
        run(self.device, self.repository)
        subprocess.run(["sync", "-f", str(self.disk.mount)], check=True)


@pytest.fixture(params=MODES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, MODES[request.param])
    yield made
    made.disk.close()


def cut_at_points(site: Site, points: range) -> int:
    """Cuts at these points; how many were within the update."""
    cuts = 0
    for at in points:
        within, wrong = site.cut(End(at=at, act=site.disk.cut))
        assert wrong == [], (at, wrong)
        site.converge()
        cuts += within
    return cuts


def cut_at_times(site: Site, count: int, seed: int) -> int:
    """Cuts at random times; how many were within the update."""
    rng = random.Random(seed)
    cuts = 0
    for _cut in range(count):
        within, wrong = site.cut(End(after=rng.uniform(0.0, 1.2 * site.usual), act=site.disk.cut))
        assert wrong == [], wrong
        site.converge()
        cuts += within
    return cuts


def damaged(site: Site, count: int) -> int:
    """How many of so many cuts do damage when nothing, or only the database, is synced."""
    bad = 0
    for number in range(count):
        at = ("succeed.done", "settle.commit", "settle.done")[number % 3]
        end = End(at=at, act=site.disk.cut, first=CONTROLS[number % 2])
        bad += bool(site.cut(end)[1])
        site.begin_anew()
    return bad


def test_cuts(site: Site) -> None:
    assert cut_at_points(site, range(0, 42, 3)) >= 12
    assert cut_at_times(site, 6, seed=1) >= 1


def test_without_syncing_cuts_do_damage(site: Site) -> None:
    bad = damaged(site, 8)
    print(f"{bad} of 8 damaged without fsync")
    assert bad >= 4


@pytest.mark.long
def test_hundreds_of_cuts(site: Site) -> None:
    cuts = sum(cut_at_points(site, range(42)) for _round in range(8))
    cuts += cut_at_times(site, 400, seed=2)
    bad = damaged(site, 50)
    print(f"{cuts} cuts, 0 violations; {bad} of 50 damaged without fsync")
    assert bad >= 45
