"""The simulated NPU behind a real daemon: eight clients, moods, parity, and what the plan and doctor say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from edged.demo import MODELS
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.runtime.house import seeded
from support import npu_sim
from support.daemon import RunningDaemon, running
from support.small_models import chain

CLIENTS = 8
PINNED = '[[model]]\nname = "digits"\npath = "{path}"\nkeep = true\npin = {{ conv_2d = "npu:sim" }}\n'


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npu_sim.build(tmp_path_factory.mktemp("sim"))


@pytest.fixture(scope="module")
def known() -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and the answers that the reference gives."""
    model = tflite.read(MODELS["int8"].read_bytes())
    inputs = [seeded(model.main.inputs, seed)[0] for seed in range(16)]
    return [(x, next(iter(Evaluation(model).run([x]).values()))) for x in inputs]


class Rig:
    """A daemon with the simulated NPU; `mood` sets what the NPU does from its next run on."""

    def __init__(self, folder: Path, daemon: RunningDaemon) -> None:
        self.folder, self.daemon = folder, daemon

    def mood(self, text: str) -> None:
        (self.folder / "mood").write_text(text)

    def status(self) -> dict[str, Any]:
        return self.daemon.control("status")

    def device(self) -> dict[str, Any]:
        return next(d for d in self.status()["devices"] if d["name"] == "npu:sim")

    def model(self) -> dict[str, Any]:
        (found,) = self.status()["models"]
        return found  # type: ignore[no-any-return]

    def until(self, condition: Callable[[], bool]) -> None:
        end = monotonic() + 30
        while not condition():
            assert monotonic() < end, f"it never came true: {self.status()}\n{self.daemon.log}"
            sleep(0.02)

    def crowd(self, known: list[tuple[np.ndarray, np.ndarray]], rounds: int) -> int:
        """Eight clients at once; how many answers were right. Wrong or lost ones fail the test."""
        right: list[int] = []
        problems: list[str] = []

        def client(number: int) -> None:
            try:
                with self.daemon.connect() as connection:
                    model = connection.open("digits")
                    for i in range(rounds):
                        x, wanted = known[(number + i) % len(known)]
                        np.testing.assert_array_equal(model(x, timeout=60)["probabilities"], wanted)
                        right.append(number)
            except Exception as error:
                problems.append(f"client {number}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems, "\n".join([*problems, self.daemon.log])
        return len(right)


@pytest.fixture
def make_rig(tmp_path: Path, library: Path) -> Iterator[Callable[..., Rig]]:
    opened = []

    def make(lines: str = "", **options: object) -> Rig:
        table = npu_sim.table(library, lines=lines, mood_file=tmp_path / "mood", **options)
        context = running(tmp_path, table + PINNED.format(path=MODELS["int8"]))
        opened.append(context)
        return Rig(tmp_path, context.__enter__())

    yield make
    for context in opened:
        context.__exit__(None, None, None)


def test_eight_clients_share_it(
    make_rig: Callable[..., Rig], known: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    rig = make_rig("parity = 0.1\n", latency_us=200)
    assert rig.model()["devices"] == ["npu:sim", "cpu"]
    assert rig.crowd(known, 10) == 80
    assert rig.device()["runs"] == 80
    rig.until(lambda: sum(rig.model()["parity"][k] for k in ("checked", "dropped")) == 8)
    parity = rig.model()["parity"]
    assert parity["checked"] > 0
    assert (parity["bytes_differing"], parity["steps_max"], parity["over"], parity["failed"]) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("mood", "lines", "counter"),
    [
        ("crash", "", "crashes"),
        ("hang", "hang_seconds = 0.5\n", "kills"),
        ("leak", "memory_bytes = 300000000\n", "leaks"),
        ("fail", "", ""),
    ],
)
def test_no_request_is_lost(
    make_rig: Callable[..., Rig],
    known: list[tuple[np.ndarray, np.ndarray]],
    mood: str,
    lines: str,
    counter: str,
) -> None:
    """It goes wrong in the middle of eight clients' work, and comes back when it is well again."""
    rig = make_rig(lines)
    assert rig.crowd(known, 2) == 16
    rig.mood(mood)
    assert rig.crowd(known, 10) == 80
    device = rig.device()
    assert device["failures"] >= 1
    assert not counter or device["child"][counter] >= 1
    rig.mood("")
    rig.until(lambda: rig.device()["state"] == "up" and rig.model()["devices"] == ["npu:sim", "cpu"])
    runs = rig.device()["runs"]
    assert rig.crowd(known, 2) == 16
    assert rig.device()["runs"] == runs + 16
    assert rig.model()["requests"] == {"ok": 112}
    assert rig.model()["retries"] >= 1


def test_three_models_share_it(tmp_path: Path, library: Path) -> None:
    """Each on the NPU in part, from a client of its own; it crashes in the middle and comes back to all of them."""
    sizes = {"narrow": 8, "wide": 24, "deep": 16}
    wanted, lines = {}, []
    for seed, (name, width) in enumerate(sizes.items()):
        model = chain(layers=2 + seed, width=width, seed=seed)
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(tflite.write(model))
        x = seeded(model.main.inputs, seed)[0]
        wanted[name] = x, next(iter(Evaluation(model).run([x]).values()))
        lines.append(
            f'[[model]]\nname = "{name}"\npath = "{path}"\npin = {{ fully_connected = "npu:sim" }}\n'
        )
    table = npu_sim.table(library, mood_file=tmp_path / "mood")
    with running(tmp_path, table + "".join(lines)) as daemon:
        rig = Rig(tmp_path, daemon)
        models = {m["name"]: m for m in rig.status()["models"]}
        assert models.keys() == sizes.keys(), daemon.log
        assert all("npu:sim" in m["devices"] for m in models.values())

        def ask_all(rounds: int) -> None:
            with ThreadPoolExecutor(len(sizes)) as pool:
                list(pool.map(partial(ask, rounds=rounds), sizes))

        def ask(name: str, rounds: int) -> None:
            x, right = wanted[name]
            with daemon.connect() as client:
                model = client.open(name)
                for _ in range(rounds):
                    np.testing.assert_array_equal(model(x, timeout=60)[0], right)

        ask_all(5)
        rig.mood("crash")
        ask_all(5)
        assert rig.device()["child"]["crashes"] >= 1
        rig.mood("")
        rig.until(lambda: all("npu:sim" in m["devices"] for m in rig.status()["models"]))
        runs = rig.device()["runs"]
        ask_all(5)
        assert rig.device()["runs"] > runs
        assert all(m["requests"] == {"ok": 15} for m in rig.status()["models"])


def test_one_that_comes_later_is_used(tmp_path: Path, library: Path) -> None:
    """The daemon starts without it, says so, and takes it and the model that waits for it once it is there."""
    later = tmp_path / "libnpu_later.so"
    with running(tmp_path, npu_sim.table(later) + PINNED.format(path=MODELS["int8"])) as daemon:
        rig = Rig(tmp_path, daemon)
        assert "libnpu_later.so" in rig.status()["unopened"]["npu:sim"]
        assert not rig.status()["models"]
        later.write_bytes(library.read_bytes())
        rig.until(lambda: bool(rig.status()["models"]))
        assert rig.model()["devices"] == ["npu:sim", "cpu"]
        assert not rig.status()["unopened"]
        assert "device npu:sim is there now" in daemon.log


def test_wrong_numbers_are_noticed(
    make_rig: Callable[..., Rig], known: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Only counted and logged, where no limit is given."""
    rig = make_rig("parity = 1.0\n")
    rig.mood("wrong")
    with rig.daemon.connect() as client:
        model = client.open("digits")
        for x, _ in known[:4]:
            model(x)
    rig.until(lambda: rig.model()["parity"]["checked"] + rig.model()["parity"]["dropped"] == 4)
    parity = rig.model()["parity"]
    assert parity["differing"] == parity["over"] == parity["checked"] > 0
    assert parity["bytes_differing"] == parity["bytes_compared"]
    assert 1 <= parity["steps_mean"] <= parity["steps_max"] <= 3
    rig.until(lambda: "model digits on npu:sim differs from our own kernels" in rig.daemon.log)
    assert rig.model()["devices"] == ["npu:sim", "cpu"]


def test_wrong_numbers_move_the_model(
    make_rig: Callable[..., Rig], known: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    rig = make_rig("parity = 1.0\nparity_limit = 0.5\n")
    rig.mood("wrong")
    with rig.daemon.connect() as client:
        client.open("digits")(known[0][0])
    rig.until(lambda: rig.model()["devices"] == ["cpu"])
    assert rig.model()["parity"]["moved"] == "npu:sim"
    rig.until(lambda: "model digits has left npu:sim" in rig.daemon.log)  # said after it is so
    assert rig.crowd(known, 2) == 16
    shown = _cli(rig, "status").stdout
    assert re.search(r"parity of digits: 1 of 1 requests differ, .* steps; it has left npu:sim", shown)


def _cli(rig: Rig, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edged", "--config", str(rig.daemon.config), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_plan_names_every_refusal(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    plan = rig.daemon.control("plan", name="digits")
    first, last = plan["subgraphs"]
    assert first["device"] == "npu:sim"
    assert all(step.endswith("on npu:sim") for step in first["steps"])
    assert not any(node["fallback"] for node in first["nodes"])
    softmax = next(n for n in last["nodes"] if n["op"] == "softmax")
    assert re.search(r"npu:sim refuses it: .*libnpu_sim\.so does not take it: tried alone", softmax["reason"])


def test_doctor_shows_it(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig()
    found = {f["what"]: f for f in map(json.loads, _cli(rig, "doctor", "--json").stdout.splitlines())}
    device = found["device npu:sim"]
    assert device["ok"]
    assert "libnpu_sim.so" in device["seen"]
    assert "ai_edge_litert" in device["seen"]


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    config = tmp_path / "edged.toml"
    config.write_text(
        f'[daemon]\nruntime_dir = "{tmp_path}"\nstate_dir = "{tmp_path}"\n[[npu]]\nname = "coral"\npreset = "edgetpu"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "edged", "--config", str(config), "doctor"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert re.search(
        r"BAD device npu:coral: .*there is no device: looked for /dev/apex_\* or USB 1a6e:089a", done.stdout
    )
