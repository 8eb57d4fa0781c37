"""The updater's process, as the daemon starts it: what it says, what it asks of a server, and how much memory it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.model_repository import Repository
from support.polled import Site
from support.update_device import check

MIB = 1 << 20


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_progress_and_an_idle_poll_of_two_requests(site: Site) -> None:
    data = np.random.default_rng(1).bytes(300_000)
    site.repository.release("m", 1, data)
    facts, status = site.poll()
    assert status == 0
    last = [f for f in facts if f["event"] == "progress"][-1]
    assert (last["done"], last["total"]) == (300_000, 300_000)
    assert last["rate"] > 0
    assert (facts[-1]["staged"], facts[-1]["bytes"]) == ([["m", 1]], 300_006)
    site.requests.clear()
    facts, status = site.poll()
    assert (facts[-1]["staged"], facts[-1]["bytes"]) == ([], 0)
    assert sum("GET" in line for line in site.requests) == 2, site.requests


@pytest.mark.parametrize("delta", [False, True], ids=["full", "delta"])
def test_memory_does_not_grow_with_the_model(site: Site, delta: bool) -> None:
    """60 MB here, 200 MB in tests/bench."""
    rng = np.random.default_rng(2)
    old = rng.integers(0, 256, 60 * MIB, np.uint8)
    new = old.copy()
    new[rng.integers(0, old.size, 100_000)] += 1
    site.repository.release("m", 1, old.tobytes(), chunk=MIB)
    site.poll()
    deltas = (site.repository.delta(old.tobytes(), new.tobytes()),) if delta else ()
    site.repository.release("m", 2, new.tobytes(), chunk=MIB, deltas=deltas)
    facts, status = site.poll()
    assert status == 0, facts
    assert facts[-1]["staged"] == [["m", 2]]
    assert (facts[-1]["bytes"] < 5 * MIB) == delta
    peak = facts[-1]["peak_bytes"]
    print(f"peak {peak >> 20} MiB, {facts[-1]['bytes']} bytes moved")
    assert peak < 64 * MIB


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "gopher://x"}, "nothing opens 'gopher'"),
        ({"url": "/nowhere"}, "is no folder"),
        ({"url": "http://127.0.0.1:1"}, "refused"),
        ({"root": ""}, "root is not set"),
        ({"root": "/nowhere"}, "No such file"),
        ({"channel": "beta"}, "signs no rollout/beta.json"),
    ],
)
def test_what_is_wrong_is_said(site: Site, changes: dict[str, str], message: str) -> None:
    site.repository.release("m", 1, b"x" * 5000)
    facts, status = site.poll(**changes)
    assert status == 1
    assert facts[-1]["event"] == "refused"
    assert message in facts[-1]["reason"]


def test_another_repository_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.repository.release("m", 1, b"x" * 5000)
    site.poll()
    other = Repository(tmp_path / "other")
    other.release("m", 2, b"y" * 5000)
    facts, status = site.poll(url=f"file://{other.root}")
    assert status == 1
    assert "signed by" in facts[-1]["reason"]
    assert check(tmp_path / "device") == 0  # staged, not active: nobody has tried it


def test_a_stick_goes_on_where_the_server_stopped(site: Site) -> None:
    site.repository.release("m", 1, b"x" * 5000)
    site.poll()
    site.repository.release("m", 2, b"z" * 5000)
    facts, _ = site.poll(url=str(site.repository.root))
    assert facts[-1]["staged"] == [["m", 2]]
