"""The whole way: the publisher's commands, a server, a daemon with clients. Attacks change nothing that a
client sees; an honest version passes; a message over MQTT brings it at once; sealed versions need their
key."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.demo import FOLDER
from edged.publish import bundle, release, rollout, workspace
from edged.publish.release import Wanted
from sim import hostile_server as hostile
from sim.hostile_server import HostileServer, on
from sim.mqtt_broker import broker
from support.daemon import RunningDaemon, running
from support.publisher import moved, open_at

IMAGE = np.full((1, 8, 8, 1), -128, np.int8)


class Shop:
    """A publisher's workspace and its server."""

    def __init__(self, folder: Path, server: HostileServer) -> None:
        self.folder, self.server = folder, server

    def release(self, version: int, path: Path, **wanted: Any) -> None:
        """An honest version for everybody."""
        with open_at(self.folder) as opened:
            release.add(opened, path, "digits", version, Wanted(**wanted))
            release.release(opened)
            rollout.change(opened, "stable", "digits", rollout.Change(version))

    def toml(self, more: str = "") -> str:
        root = self.folder / "public" / "metadata" / "1.root.json"
        return (
            f'[updates]\nurl = "{self.server.url}"\nroot = "{root}"\npoll_seconds = 3600.0\n'
            f'device = "gateway-1"\nwatch_seconds = 0.0\n{more}'
        )


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    folder = tmp_path / "shop"
    with open_at(folder, new=True) as opened:
        workspace.found(opened)
    with hostile.serving(folder / "public") as server:
        made = Shop(folder, server)
        made.release(1, FOLDER / "digits_int8.tflite")
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "daemon"
    made.mkdir()
    return made


def until(
    daemon: RunningDaemon, holds: Callable[[dict[str, Any]], bool], seconds: float = 60.0
) -> dict[str, Any]:
    """The facts of `edged models` as soon as they are so."""
    end = time.monotonic() + seconds
    while True:
        facts: dict[str, Any] = daemon.control("models")
        if holds(facts):
            return facts
        assert time.monotonic() < end, (facts, daemon.log)
        time.sleep(0.02)


def states(facts: dict[str, Any]) -> dict[int, str]:
    return {v["version"]: v["state"] for v in facts["versions"]}


def update(daemon: RunningDaemon) -> dict[str, Any]:
    """One poll with all that follows."""
    number = daemon.control("update")["asked"]
    settled = ("staged", "trial")
    return until(
        daemon,
        lambda f: f["poll"]["done"] >= number and not any(v["state"] in settled for v in f["versions"]),
    )


class Crowd:
    """Clients that ask hundreds of times a second, and what went wrong."""

    def __init__(self, daemon: RunningDaemon, count: int = 2) -> None:
        self.daemon, self.stop, self.done = daemon, threading.Event(), 0
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self._ask) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _ask(self) -> None:
        try:
            with self.daemon.connect() as client, client.open("digits") as model:
                while not self.stop.wait(0.003):
                    assert model(IMAGE)["probabilities"].shape == (1, 10)
                    self.done += 1
        except Exception as error:
            self.failures.append(repr(error))

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(30)


def _flipped(public: Path, digest: str) -> Callable[[], None]:
    """Flips a bit of a blob; what puts it back."""
    path = public / "blobs" / digest
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return lambda: path.write_bytes(data) and None


def test_attacks_under_load_fail_no_request_and_the_honest_version_passes(
    shop: Shop, place: Path, tmp_path: Path
) -> None:
    second = moved(FOLDER / "digits_int8.tflite", tmp_path / "second.tflite")
    with running(place, shop.toml()) as daemon:
        assert states(update(daemon)) == {1: "active"}
        shop.release(2, second, deltas=0)
        crowd = Crowd(daemon)
        try:
            for trick in (
                on("/targets/", hostile.endless),
                on("/blobs/", hostile.endless),
                on("/metadata/timestamp", hostile.endless),
                hostile.status(503),
            ):
                shop.server.trick = trick
                facts = update(daemon)
                assert states(facts) == {1: "active"}, "an attack brought a version"
                assert "refused" in json.dumps(facts["poll"]) or "failed" in json.dumps(facts["poll"])
            shop.server.trick = None
            mend = _flipped(shop.folder / "public", _digest(shop, 2))
            assert states(update(daemon)) == {1: "active"}
            mend()
            assert states(update(daemon)) == {2: "active", 1: "retired"}
        finally:
            crowd.end()
        assert crowd.failures == []
        assert crowd.done > 100


def _digest(shop: Shop, version: int) -> str:
    with open_at(shop.folder) as opened:
        found = release.released(opened, opened.edition(), "digits")
    return next(m.file.sha256 for m in found if m.version == version)


def test_wrong_golden_outputs_are_rolled_back_under_load(shop: Shop, place: Path, tmp_path: Path) -> None:
    wrong = np.full((1, 10), 77, np.int8)
    with running(place, shop.toml()) as daemon:
        update(daemon)
        crowd = Crowd(daemon)
        try:
            shop.release(
                2, moved(FOLDER / "digits_int8.tflite", tmp_path / "second.tflite"),
                inputs={"image": IMAGE}, outputs={"probabilities": wrong},
            )  # fmt: skip
            facts = update(daemon)
        finally:
            crowd.end()
        assert states(facts) == {2: "rolled back", 1: "active"}
        assert "golden case 0" in facts["versions"][0]["reason"]
        assert crowd.failures == []


def test_a_message_brings_a_version_at_once(shop: Shop, place: Path, tmp_path: Path) -> None:
    with broker() as peer:
        table = f'[plugins.options.mqtt]\nhost = "127.0.0.1"\nport = {peer.port}\ntls = false\nspread_seconds = 0.0\n'
        with running(place, shop.toml(table)) as daemon:
            assert peer.subscribed.wait(30)
            until(daemon, lambda f: states(f) == {1: "active"})  # the poll after the start
            shop.release(2, moved(FOLDER / "digits_int8.tflite", tmp_path / "second.tflite"))
            for _ in range(200):  # a flood makes one poll
                peer.publish("edged/update/stable", b"version 99 from http://evil.example")
            shop.server.asked.clear()
            until(daemon, lambda f: states(f).get(2) == "active")
            assert sum("timestamp.json" in path for path in shop.server.asked) <= 2


def test_a_sealed_version_waits_for_its_key(shop: Shop, place: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    second = moved(FOLDER / "digits_int8.tflite", tmp_path / "second.tflite")
    with running(place, shop.toml(f'keys = "{keys}"\n')) as daemon:
        update(daemon)
        shop.release(2, second, key=("shop", bytes(range(32))))
        facts = update(daemon)
        assert states(facts) == {1: "active"}
        assert "LoadCredential=shop" in json.dumps(facts["poll"])
        (keys / "shop").write_bytes(bytes(range(32)))
        (keys / "shop").chmod(0o444)
        assert "may be read by others" in json.dumps(update(daemon)["poll"])
        (keys / "shop").chmod(0o400)
        assert states(update(daemon)) == {2: "active", 1: "retired"}
        blobs = place / "state" / "updates" / "blobs"
        assert not any(b"TFL3" in p.read_bytes()[:64] for p in blobs.rglob(_digest(shop, 2)))


def test_a_sealed_version_with_another_key_is_rolled_back(shop: Shop, place: Path, tmp_path: Path) -> None:
    (tmp_path / "shop-key").mkdir(mode=0o700)
    key = tmp_path / "shop-key" / "shop"
    key.write_bytes(bytes(32))
    key.chmod(0o400)
    second = moved(FOLDER / "digits_int8.tflite", tmp_path / "second.tflite")
    with running(place, shop.toml(f'keys = "{key.parent}"\n')) as daemon:
        update(daemon)
        shop.release(2, second, key=("shop", bytes(range(32))))
        facts = update(daemon)
        assert states(facts) == {2: "rolled back", 1: "active"}
        assert "the key is another one" in facts["versions"][0]["reason"]


def test_a_stick_brings_a_version_and_an_older_stick_none(shop: Shop, place: Path, tmp_path: Path) -> None:
    """`edged update --from FOLDER` of a gateway that never had a network, as its operator types it."""

    def stick(name: str) -> str:
        with open_at(shop.folder) as opened:
            bundle.bundle(opened, tmp_path / name, 60)
        return str(tmp_path / name)

    old = stick("old")
    shop.release(2, moved(FOLDER / "digits_int8.tflite", tmp_path / "second.tflite"))
    new = stick("new")
    config = shop.toml().replace(f'url = "{shop.server.url}"\n', "")
    with running(place, config) as daemon:
        command = [sys.executable, "-m", "edged", "--config", str(daemon.config), "update", "--from"]
        done = subprocess.run([*command, new], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert states(daemon.control("models")) == {2: "active"}
        done = subprocess.run([*command, old], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "must be >=" in done.stderr
        assert states(daemon.control("models")) == {2: "active"}
        assert shop.server.asked == []
