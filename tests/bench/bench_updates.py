"""What an update costs the gateway: memory of the updater's process, bytes moved, and the time until a new
version serves.

Prints figures, asserts none: `make bench`, or `PYTHONPATH=tests python tests/bench/bench_updates.py`. Bytes
of deltas between real fine-tuned versions are in bench_deltas.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edged.demo import FOLDER
from edged.publish.golden import record
from edged.source import read_model
from support.daemon import RunningDaemon, running
from support.model_repository import Repository
from support.polled import Site
from support.publisher import moved
from support.versions import toml

MODELS = Path(os.environ.get("EDGED_MODELS", Path(__file__).resolve().parents[3] / "shared" / "models"))
MIB = 1 << 20
UPDATES = 10


def large(megabytes: int = 200) -> None:
    """A large file, whole and as a delta with 1 % of its bytes changed."""
    rng = np.random.default_rng(1)
    old = rng.integers(0, 256, megabytes * MIB, np.uint8)
    new = old.copy()
    new[rng.integers(0, old.size, old.size // 100)] += 1
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            for version, data, base in ((1, old, None), (2, new, old)):
                deltas = () if base is None else (site.repository.delta(base.tobytes(), data.tobytes()),)
                site.repository.release("m", version, data.tobytes(), chunk=MIB, deltas=deltas)
                begun = time.perf_counter()
                facts, _ = site.poll()
                print(
                    f"{megabytes} MiB {'as a delta' if deltas else 'whole'}: "
                    f"{facts[-1]['bytes'] / MIB:.1f} MiB moved, {time.perf_counter() - begun:.1f} s, "
                    f"peak {facts[-1]['peak_bytes'] / MIB:.0f} MiB resident"
                )
            begun = time.perf_counter()
            facts, _ = site.poll()
            print(f"idle poll: {time.perf_counter() - begun:.2f} s, {facts[-1]['peak_bytes'] / MIB:.0f} MiB")
        finally:
            site.close()


def until_it_serves(daemon: RunningDaemon, version: int) -> tuple[float, float]:
    """Milliseconds from asking for a poll until the version is staged, and until it serves."""
    begun = time.perf_counter()
    daemon.control("update")
    staged = 0.0
    while True:
        facts: dict[str, Any] = daemon.control("models")
        states = {v["version"]: v["state"] for v in facts["versions"]}
        now = (time.perf_counter() - begun) * 1e3
        if version in states and not staged:
            staged = now
        if states.get(version) == "active":
            return staged, now
        assert states.get(version) != "rolled back", facts
        time.sleep(0.002)


def swaps(path: Path) -> None:
    """Poll, download, trial and swap of one real model, some versions in a row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = Repository(folder / "repository")
        times = []
        with running(folder, toml(folder, repository)) as daemon:
            for version in range(1, UPDATES + 1):
                file = path if version == 1 else moved(path, folder / f"{version}.tflite")
                model = read_model(file)
                cases = record(model, cases=2, seed=version)
                repository.release(
                    "m", version, file.read_bytes(), golden=cases.data, cases=cases.cases,
                    tolerance=cases.tolerance, inputs=cases.inputs, outputs=cases.outputs, chunk=MIB,
                )  # fmt: skip
                times.append(until_it_serves(daemon, version))
        staged, served = (float(np.median([t[i] for t in times])) for i in (0, 1))
        print(
            f"{path.name}: {path.stat().st_size / MIB:.2f} MiB staged after {staged:.0f} ms, "
            f"tried and swapped after {served:.0f} ms (medians of {UPDATES})"
        )


def bench_updates() -> None:
    large()
    swaps(FOLDER / "digits_int8.tflite")
    mobilenet = MODELS / "vision" / "mobilenet_v1_0.25_224_quant.tflite"
    if mobilenet.is_file():
        swaps(mobilenet)
    else:
        print(f"no mobilenet at {MODELS}")


def test_updates() -> None:
    """For `make bench`."""
    bench_updates()


if __name__ == "__main__":
    bench_updates()
