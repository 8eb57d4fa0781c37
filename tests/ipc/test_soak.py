"""Many clients that are killed while they work: no reply lost, doubled or given to another; nothing leaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import sleep
from typing import Any

import pytest

import edged_ipc

CROWD = Path(__file__).resolve().parent.parent / "support" / "crowd.py"


def state(pid: int) -> tuple[int, int]:
    """(file descriptors, mappings of clients' memory) of a process."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return len(os.listdir(f"/proc/{pid}/fd")), maps.count("edged-slots")


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def soak(there: Any, workers: int, requests: int, kills: int) -> None:
    with edged_ipc.connect(there.path) as client:
        client.open("echo-64").close()
        before = state(there.process.pid)
        command = [sys.executable, str(CROWD), there.path, *map(str, (workers, requests, kills)), "0.05"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        result: dict[str, int] = json.loads(done.stdout)
        assert result["right"] >= requests
        assert result["kills"] >= kills
        assert (result["wrong"], result["failed"]) == (0, 0), done.stderr
        while state(there.process.pid) != before:  # the last ones' connections are just ending
            sleep(0.01)
        client.control("echo")


@pytest.mark.timeout(60)
def test_killed_all_the_time(there: Any) -> None:
    soak(there, 4, 20_000, 8)


@pytest.mark.long
def test_a_million_requests(there: Any) -> None:
    """The bar: 20 clients, one killed every 50 ms; memory of the server flat over the second million.

    In the first one the heap finds its size, 2 to 3 MiB more; after it not a page is added.
    """
    soak(there, 20, 1_000_000, 200)
    half = resident_kib(there.process.pid)
    soak(there, 20, 1_000_000, 200)
    assert resident_kib(there.process.pid) - half < 1536
