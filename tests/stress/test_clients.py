"""Many clients, kills, slow readers and swaps: no reply is lost, doubled, or given to the wrong request; memory and descriptors stay flat.

`make test` runs 60,000 requests of 16 threads; `make test-long` a million of 64.
"""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged_ipc import messages as m
from edged_ipc.wire import encode
from support import stress_client
from support.daemon import RunningDaemon, die_with_parent, running
from support.small_models import chain

SWAP_SECONDS, KILL_SECONDS = 0.1, 0.5


def _models(folder: Path) -> np.ndarray:
    """Two files for each of the eight models, and the table of their answers: (model, version % 2, input, 1, width)."""
    given = stress_client.inputs()
    table = np.empty((stress_client.MODELS, 2, *given.shape), np.int8)
    for number in range(stress_client.MODELS):
        for odd in range(2):
            model = chain(layers=2, width=stress_client.WIDTH, seed=10 * number + odd)
            (folder / f"m{number}.{odd}.tflite").write_bytes(tflite.write(model))
            evaluation = Evaluation(model)
            for index, x in enumerate(given):
                table[number, odd, index] = evaluation.run([x])["t1"]
    return table


class Crowd:
    """Client processes that are killed and replaced until enough right replies have come."""

    def __init__(self, daemon: RunningDaemon, processes: int, threads: int) -> None:
        self.daemon, self.processes, self.threads = daemon, processes, threads
        self.ok = self.killed = 0
        self.trouble: list[str] = []
        self.listeners: list[threading.Thread] = []
        self.living: list[subprocess.Popen[str]] = []
        self.random = random.Random(5)
        self.seed = 0

    def start_one(self, requests: int) -> None:
        self.seed += 1
        words = [str(self.daemon.socket), str(self.seed), str(self.threads), str(requests)]
        command = [sys.executable, stress_client.__file__, *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=die_with_parent
        )
        self.living.append(process)
        self.listeners.append(threading.Thread(target=self._listen, args=(process,), daemon=True))
        self.listeners[-1].start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if line.startswith("ok "):
                    self.ok += int(line[3:])
                elif not line.startswith("{"):
                    self.trouble.append(line.rstrip())

    def kill_one(self) -> None:
        victims = [p for p in self.living if p.poll() is None]
        if victims:
            self.random.choice(victims).kill()
            self.killed += 1

    def settle(self) -> None:
        self.living = [p for p in self.living if p.poll() is None]

    def end(self) -> None:
        for process in self.living:
            process.kill()
        for process in self.living:
            process.wait()
        for listener in self.listeners:
            listener.join(10)


def never_reads(path: Path) -> socket.socket:
    """A client that asks a great deal and reads nothing."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(str(path))
    sock.setblocking(False)
    frames = encode(m.Hello(1, 1, "never reads"))
    for request in range(1, 5000):
        frames += encode(m.Control(request, "status", {}))
    with suppress(BlockingIOError, BrokenPipeError):  # as much as fits is enough
        sock.send(frames)
    return sock


def _swap(daemon: RunningDaemon, folder: Path, versions: dict[int, int], rng: random.Random) -> None:
    """The other file for one model; version n must be the file n % 2."""
    number = rng.randrange(stress_client.MODELS)
    odd = (versions[number] + 1) % 2
    facts = daemon.control("swap", name=f"m{number}", path=str(folder / f"m{number}.{odd}.tflite"))
    versions[number] += 1
    assert facts["version"] == versions[number]


def _run(folder: Path, requests: int, processes: int, threads: int) -> None:
    table = _models(folder)
    config = "".join(
        f'[[model]]\nname = "m{n}"\npath = "{folder}/m{n}.1.tflite"\n' for n in range(stress_client.MODELS)
    )
    with running(folder, config) as daemon:
        np.save(f"{daemon.socket}.table.npy", table)
        crowd, rng = Crowd(daemon, processes, threads), random.Random(7)
        versions = dict.fromkeys(range(stress_client.MODELS), 1)
        for _ in range(processes):
            crowd.start_one(requests)
        while crowd.ok < requests // 10:
            threading.Event().wait(0.1)
        fds, rss = daemon.fds(), daemon.rss()
        half = 0
        kill_at, swaps, slow, slow_count = monotonic() + KILL_SECONDS, 0, [], 0
        while crowd.ok < requests and not crowd.trouble:
            threading.Event().wait(SWAP_SECONDS)
            _swap(daemon, folder, versions, rng)
            swaps += 1
            if not half and crowd.ok > requests // 2:
                half = daemon.rss()
            if monotonic() > kill_at:
                crowd.kill_one()
                crowd.settle()
                crowd.start_one(requests)
                slow.append(never_reads(daemon.socket))
                slow_count += 1
                if len(slow) > 20:
                    slow.pop(0).close()
                kill_at = monotonic() + KILL_SECONDS
        growth, late, more = daemon.rss() - rss, daemon.rss() - half, daemon.fds() - fds
        crowd.end()
        for sock in slow:
            sock.close()
        end = monotonic() + 20
        while daemon.control("ps")["clients"] and monotonic() < end:
            threading.Event().wait(0.05)
        status = daemon.control("status")
        print(
            f"\n{crowd.ok} right replies, {swaps} swaps, {crowd.killed} clients killed, {slow_count} never read, "
            f"RSS {growth / 2**20:+.1f} MiB, in the second half {late / 2**20:+.1f} MiB, fds {more:+d}"
        )
        assert not crowd.trouble, crowd.trouble[:5]
        assert crowd.killed
        assert not daemon.control("ps")["clients"]
        assert status["in_flight"] == 0
        assert daemon.maps() == 0
        assert growth < 16 << 20  # the heap finds its size in the first third
        assert late < 4 << 20
        assert daemon.process.poll() is None


@pytest.mark.timeout(240)
def test_crowd(tmp_path: Path) -> None:
    _run(tmp_path, 60_000, processes=4, threads=4)


@pytest.mark.long
def test_large_crowd(tmp_path: Path) -> None:
    _run(tmp_path, 1_000_000, processes=8, threads=8)
