"""End to end: publisher -> static server -> daemon, with clients asking all the while. No request fails, every answer is
one version's, and none is older than the answer before it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.publish import release, rollout
from edged.publish.serve import StaticServer
from edged.publish.workspace import Workspace, found
from support import update_client
from support.daemon import RunningDaemon, die_with_parent, running
from support.publisher import open_at
from support.small_models import chain

MODEL, WIDTH = "net", 16


class Fleet:
    """A publisher, its server, one daemon, and the models that it is to run, one after another."""

    def __init__(self, folder: Path, workspace: Workspace, versions: int) -> None:
        self.folder, self.workspace = folder, workspace
        inputs = np.random.default_rng(1).integers(-128, 128, (16, 1, WIDTH)).astype(np.int8)
        answers = []
        for version in range(1, versions + 1):
            model = chain(layers=2, width=WIDTH, seed=version)
            (folder / f"{version}.tflite").write_bytes(tflite.write(model))
            evaluation = Evaluation(model)
            answers.append([next(iter(evaluation.run([x]).values())) for x in inputs])
        np.savez(folder / "answers.npz", inputs=inputs, answers=np.array(answers))

        self.timestamp = workspace.public / "metadata" / "timestamp.json"
        self.timestamps = [self._sign(version) for version in range(1, versions + 1)]

    def _sign(self, version: int) -> bytes:
        """The next version for everybody; the timestamp that makes it the one."""
        path = self.folder / f"{version}.tflite"
        release.add(self.workspace, path, MODEL, version, release.Wanted())
        release.release(self.workspace)
        rollout.change(self.workspace, "stable", MODEL, rollout.Change(version))
        return self.timestamp.read_bytes()

    def publish(self, version: int) -> None:
        """Serves this version. All has been signed beforehand: the publisher's work is not the gateway's."""
        self.timestamp.write_bytes(self.timestamps[version - 1])

    def serves(self, daemon: RunningDaemon) -> int:
        """The version that answers; each must be told from the others by its answers."""
        table = np.load(self.folder / "answers.npz")
        with daemon.connect() as client, client.open(MODEL) as model:
            found = [model({model.inputs[0].name: x})[model.outputs[0].name] for x in table["inputs"]]
        (version,) = (v for v, answers in enumerate(table["answers"], 1) if np.array_equal(answers, found))
        return version


def toml(folder: Path, workspace: Workspace, url: str) -> str:
    root = workspace.public / "metadata" / "1.root.json"
    return f'[updates]\nurl = "{url}"\nroot = "{root}"\ndevice = "d"\npoll_seconds = 100000.0\n'


def update(daemon: RunningDaemon, version: int) -> None:
    """A poll, until that version serves."""
    daemon.control("update")
    end = time.monotonic() + 100
    while True:
        facts: dict[str, Any] = daemon.control("models")
        if any(v["version"] == version and v["state"] == "active" for v in facts["versions"]):
            return
        assert time.monotonic() < end, (facts, daemon.log)
        time.sleep(0.2)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_at(tmp_path / "workspace", new=True) as made:
        found(made)
        yield made


def updates_under_load(folder: Path, workspace: Workspace, updates: int, quiet: float) -> dict[str, Any]:
    """The clients' report: `quiet` seconds without updates, and then so many in a row."""
    fleet = Fleet(folder, workspace, updates + 1)
    fleet.publish(1)
    server = StaticServer(workspace.public)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with running(folder, toml(folder, workspace, server.url)) as daemon:
            update(daemon, 1)
            command = [
                sys.executable,
                update_client.__file__,
                str(daemon.socket),
                MODEL,
                str(folder / "answers.npz"),
            ]
            client = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
            )
            with client:
                assert client.stdin is not None
                time.sleep(1.0)  # sessions open, caches warm
                for phase in ("quiet", "updates"):
                    client.stdin.write(f"{phase}\n")
                    client.stdin.flush()
                    if phase == "quiet":
                        time.sleep(quiet)
                sizes = []
                for version in range(2, updates + 2):
                    fleet.publish(version)
                    update(daemon, version)
                    sizes.append((daemon.rss(), daemon.fds()))
                report, _ = client.communicate(timeout=60)
            made: dict[str, Any] = json.loads(report)
            made["rss"], made["fds"] = (
                [size[i] for size in (sizes[len(sizes) // 5], sizes[-1])] for i in (0, 1)
            )
            return made
    finally:
        server.shutdown()
        server.server_close()


def test_updates_under_load(tmp_path: Path, workspace: Workspace) -> None:
    report = updates_under_load(tmp_path, workspace, updates=6, quiet=2.0)
    print(report)
    assert report["failures"] == []
    assert report["updates"]["replies"] > 100


@pytest.mark.long
def test_a_hundred_updates_under_load(tmp_path: Path, workspace: Workspace) -> None:
    report = updates_under_load(tmp_path, workspace, updates=100, quiet=60.0)
    print(report)
    assert report["failures"] == []
    assert report["updates"]["p99"] <= 2 * report["quiet"]["p99"]
    assert report["rss"][1] - report["rss"][0] < 8 << 20
    assert report["fds"][1] <= report["fds"][0] + 2


def kills(folder: Path, workspace: Workspace, updates: int, seed: int) -> int:
    """The daemon is killed once in every update, at any time of it; how often it had not taken the version yet. After
    each start it serves the version before or the new one, and takes the new one in the end."""
    rng = random.Random(seed)
    fleet = Fleet(folder, workspace, updates + 1)
    fleet.publish(1)
    early = 0
    with running(folder, toml(folder, workspace, str(workspace.public))) as daemon:
        begun = time.monotonic()
        update(daemon, 1)
        usual = time.monotonic() - begun
        for version in range(2, updates + 2):
            fleet.publish(version)
            daemon.control("update")
            time.sleep(rng.uniform(0.0, 2.0 * usual))
            daemon.restart()
            found = fleet.serves(daemon)
            assert found in (version - 1, version), (version, found, daemon.log)
            early += found == version - 1
            update(daemon, version)
            assert fleet.serves(daemon) == version
    return early


def test_the_daemon_is_killed_in_every_update(tmp_path: Path, workspace: Workspace) -> None:
    print(f"{kills(tmp_path, workspace, 3, seed=1)} of 3 kills were before the swap")


@pytest.mark.long
def test_the_daemon_is_killed_in_a_hundred_updates(tmp_path: Path, workspace: Workspace) -> None:
    early = kills(tmp_path, workspace, 100, seed=2)
    print(f"{early} of 100 kills were before the swap")
    assert 1 <= early <= 99
