"""Boards in QEMU behind a real daemon: a model split between board and CPU, and every way to lose a board."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from edged.cli.files import read_model
from edged.demo import MODELS
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import Node
from edged.runtime.house import seeded
from edged.runtime.measurements import node_key
from edged_backends.mcu.rig.proxy import Faults
from edged_backends.mcu.rig.qemu import QemuBoard
from support import boards
from support.daemon import RunningDaemon, running

pytestmark = [
    pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here"),
    pytest.mark.timeout(180),
]
Known = list[tuple[np.ndarray, np.ndarray]]


def known_of(path: Path, count: int) -> Known:
    """Inputs and the answers that the reference gives."""
    model = tflite.read(path.read_bytes())
    inputs = [seeded(model.main.inputs, seed)[0] for seed in range(count)]
    return [(x, next(iter(Evaluation(model).run([x]).values()))) for x in inputs]


@pytest.fixture(scope="module")
def known() -> Known:
    return known_of(MODELS["int8"], 16)


class Site:
    """A daemon, its boards, and what clients saw."""

    def __init__(self, daemon: RunningDaemon, rigs: list[QemuBoard]) -> None:
        self.daemon, self.rigs = daemon, rigs
        self.problems: list[str] = []
        self.right = 0
        self._end = threading.Event()

    @property
    def rig(self) -> QemuBoard:
        return self.rigs[0]

    def device(self, number: int = 0) -> dict[str, Any]:
        status: dict[str, Any] = self.daemon.control("status")
        return next(d for d in status["devices"] if d["name"] == f"mcu:b{number}")

    def model(self) -> dict[str, Any]:
        status: dict[str, Any] = self.daemon.control("status")
        (found,) = status["models"]
        return found  # type: ignore[no-any-return]

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        end = monotonic() + seconds
        while not condition():
            assert monotonic() < end, f"it never came true: {self.device()}\n{self.daemon.log[-3000:]}"
            sleep(0.02)

    def on_board(self) -> bool:
        return "mcu:b0" in self.model()["devices"]

    @contextmanager
    def clients(self, known: Known, name: str = "model", count: int = 2) -> Iterator[None]:
        """Clients that ask all the time; the control socket has to answer at once meanwhile."""
        threads = [
            threading.Thread(target=self._client, args=(known, name, number)) for number in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._end.set()
            for thread in threads:
                thread.join(60)
        assert not self.problems, "\n".join([*self.problems[:5], self.daemon.log[-3000:]])

    def _client(self, known: Known, name: str, number: int) -> None:
        try:
            with self.daemon.connect() as connection:
                model = connection.open(name)
                i = number
                while not self._end.is_set():
                    x, wanted = known[i % len(known)]
                    (found,) = model(x, timeout=60).values()
                    if not np.array_equal(found, wanted):
                        self.problems.append(f"client {number}: wrong result for input {i % len(known)}")
                    self.right += 1
                    i += 1
        except Exception as error:
            self.problems.append(f"client {number}: {type(error).__name__}: {error}")

    def ask(self, known: Known, times: int, name: str = "model") -> None:
        """That many requests, one after the other, each checked."""
        with self.daemon.connect() as connection:
            model = connection.open(name)
            for i in range(times):
                x, wanted = known[i % len(known)]
                (found,) = model(x, timeout=60).values()
                np.testing.assert_array_equal(found, wanted)
                self.right += 1


@contextmanager
def site(
    folder: Path, model: Path, lines: str, machines: tuple[str, ...] = ("mps2-an386",), patience: float = 1.0
) -> Iterator[Site]:
    """Boards that serve, then a daemon that has them."""
    rigs: list[QemuBoard] = []
    try:
        for number, machine in enumerate(machines):
            place = folder / f"b{number}"
            rigs.append(QemuBoard(machine, boards.build(machine, boards.PORTS, place), place, seed=number))
            rigs[-1].power(True)
        tables = "".join(
            f'[[mcu]]\nname = "b{i}"\nport = "{rig.port}"\npatience_seconds = {patience}\nrun_seconds = 5.0\n'
            for i, rig in enumerate(rigs)
        )
        config = f'{tables}[[model]]\nname = "model"\npath = "{model}"\nkeep = true\n{lines}\n'
        with running(folder, config) as daemon:
            yield Site(daemon, rigs)
    finally:
        for rig in rigs:
            rig.close()


PINNED = 'pin = { conv_2d = "mcu:b0" }'


def test_a_model_is_split_by_pin(tmp_path: Path, known: Known) -> None:
    with site(tmp_path, MODELS["int8"], PINNED) as here:
        assert here.model()["devices"] == ["mcu:b0", "cpu"]
        here.ask(known, 16)
        assert here.device()["runs"] == 16


FIRST_LAYERS = 5


def first_layers(path: Path) -> tuple[Node, ...]:
    return read_model(path, optimised=True).main.nodes[:FIRST_LAYERS]


def split_vww(here: Site, known: Known) -> None:
    """vww's first layers run on the board, the rest on the CPU, with the CPU's bytes."""
    assert here.model()["devices"] == ["mcu:b0", "cpu"]
    here.ask(known, len(known))
    assert here.device()["runs"] == len(known)
    assert here.device()["failures"] == 0


def test_vww_is_split_by_pin(tmp_path: Path, models: Path) -> None:
    path = models / "mlperf_tiny" / "vww_96_int8.tflite"
    pins = ", ".join(f'"{node.outputs[0].name}" = "mcu:b0"' for node in first_layers(path))
    with site(tmp_path, path, f"pin = {{ {pins} }}", patience=5.0) as here:
        split_vww(here, known_of(path, 3))


def test_vww_is_split_by_the_partition(tmp_path: Path, models: Path) -> None:
    """On a gateway that has measured its CPU as slow in the first layers, they are cheaper on the board."""
    path = models / "mlperf_tiny" / "vww_96_int8.tflite"
    slow = {node_key(node): 60e6 for node in first_layers(path)}
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "measured.json").write_text(json.dumps({"cpu": slow}))
    with site(tmp_path, path, "", patience=5.0) as here:
        split_vww(here, known_of(path, 3))


def test_two_boards_at_once(tmp_path: Path, known: Known) -> None:
    pin = 'pin = { conv_2d = "mcu:b0", fully_connected = "mcu:b1" }'
    with site(tmp_path, MODELS["int8"], pin, ("mps2-an386", "mps3-an547")) as here:
        assert here.model()["devices"][:2] == ["mcu:b0", "mcu:b1"]
        here.ask(known, 8)
        assert (here.device(0)["runs"], here.device(1)["runs"]) == (8, 8)


def test_a_board_that_comes_later_is_taken(tmp_path: Path, known: Known) -> None:
    """A model that is pinned to it waits for it."""
    with site(tmp_path, MODELS["int8"], PINNED) as here:
        here.rig.proxy.unplug()
        here.daemon.restart()
        assert "plug the board in" in here.daemon.log
        here.rig.proxy.plug()
        here.until(lambda: bool(here.daemon.control("status")["models"]))
        assert here.on_board()
        here.ask(known, 3)


def edged(here: Site, *words: str) -> str:
    """What a command prints, of a user who has the daemon's configuration."""
    command = [sys.executable, "-m", "edged", "--config", str(here.daemon.config), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def test_doctor_and_plan_beside_the_daemon_that_has_the_board(tmp_path: Path, known: Known) -> None:
    absent = '[[mcu]]\nname = "absent"\nport = "/dev/no-such-board"'
    with site(tmp_path, MODELS["int8"], f"{PINNED}\n{absent}") as here:
        here.ask(known, 3)
        said = edged(here, "doctor")
        assert "ok  device mcu:b0: the daemon has it: up, 3 runs, 0 failures" in said
        assert "BAD device mcu:absent: /dev/no-such-board cannot be opened" in said
        planned = edged(here, "plan", str(MODELS["int8"]))
        assert "backend mcu:b0 is not open, and was not asked: " in planned
        assert "another program has it open" in planned


def lose(here: Site, how: str) -> None:
    """One accident, and the way back where there is one."""
    rig = here.rig
    if how == "reset":
        rig.reset()
    elif how == "stall":
        rig.control("stop")
        here.until(lambda: here.device()["state"] != "up")
        rig.control("cont")
    elif how == "unplug":
        rig.proxy.unplug()
        here.until(lambda: here.device()["state"] != "up")
        rig.proxy.plug()
    else:
        rig.power(False)
        here.until(lambda: here.device()["state"] != "up")
        rig.power(True)


@pytest.mark.parametrize(
    ("how", "times"),
    [
        *[(how, 1) for how in ("reset", "stall", "unplug", "kill")],
        *[
            pytest.param(how, times, marks=[pytest.mark.long, pytest.mark.timeout(3600)])
            for how, times in (("reset", 200), ("stall", 200), ("unplug", 50), ("kill", 50))
        ],
    ],
)
def test_a_lost_board_loses_no_request(tmp_path: Path, known: Known, how: str, times: int) -> None:
    slowest = 0.0
    with site(tmp_path, MODELS["int8"], PINNED) as here, here.clients(known):
        for n in range(times):
            here.until(lambda: here.device()["state"] == "up" and here.on_board())
            before = here.right
            here.until(lambda before=before: here.right > before + 3)  # type: ignore[misc]
            lose(here, how)
            here.until(lambda n=n: here.device()["readmissions"] > n)  # type: ignore[misc]
            start = monotonic()
            here.device()
            slowest = max(slowest, monotonic() - start)
        assert here.device()["readmissions"] >= times
        runs = here.device()["runs"]
    assert slowest < 2.0, "the daemon was blocked"
    print(
        f"{how}: {times} times, {here.right} requests right, {runs} runs on the board, slowest status {slowest:.3f} s"
    )


@pytest.mark.parametrize(
    "requests", [10, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_a_bad_line(tmp_path: Path, known: Known, requests: int) -> None:
    with site(tmp_path, MODELS["int8"], 'pin = { fully_connected = "mcu:b0" }', patience=3.0) as here:
        here.rig.proxy.faults = Faults(drop=0.005, flip=0.005)
        start = monotonic()
        here.ask(known, requests)
        took = monotonic() - start
        device = here.device()
    print(
        f"{requests} requests in {took:.1f} s, {device['runs']} on the board, {device['failures']} failures"
    )
    assert device["runs"] > 0


def test_killed_while_it_is_loaded(tmp_path: Path, known: Known) -> None:
    with site(tmp_path, MODELS["int8"], PINNED) as here:
        here.rig.power(False)
        here.ask(known, 2)
        here.rig.proxy.faults = Faults(baud=115200)  # the load takes a second or more now
        here.rig.power(True)
        loaded = here.rig.proxy.passed[0] + 3000
        here.until(lambda: here.rig.proxy.passed[0] > loaded)
        here.rig.power(False)
        here.ask(known, 2)
        here.rig.proxy.faults = Faults()
        here.rig.power(True)
        here.until(here.on_board)
        here.ask(known, 4)
