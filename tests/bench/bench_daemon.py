"""What the daemon adds to a run: latency and requests/s of clients, beside a raw socket echo, gRPC and HTTP servers doing the same job.

    python tests/bench/bench_daemon.py [--seconds 2] [--peers]

Jobs: kws int8 (490 bytes in, 12 out) and a float image of 602,112 bytes that a model only reads (a mean). Every server is a process of its own
and runs the model with edged's own cpu backend on one thread, so that only the way to it differs. Placement: `same` puts servers
and clients on one core, `across` the server on core 0 and the clients on core 1. Prints figures, asserts none.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from daemon_peers import SERVERS, die_with_parent  # noqa: E402

from edged.cli.tables import table  # noqa: E402
from edged.formats import tflite  # noqa: E402
from edged.graph.model import DType, Graph, Model, Node, Tensor  # noqa: E402

MODELS = Path(os.environ.get("EDGED_MODELS", HERE.parents[3] / "shared" / "models"))
IMAGE = (1, 224, 224, 3)
HEADER = ("job", "cores", "server", "clients", "p50 us", "p99 us", "requests/s", "added us")
CLIENTS = (1, 4, 16, 64)
PLACES = {"same": ({1}, {1}), "across": ({0}, {1})}


def image_model() -> bytes:
    """A model that reads 602,112 bytes and does next to nothing with them: the mean over height and width of a strided part."""
    x, y = Tensor("x", DType.FLOAT32, IMAGE), Tensor("y", DType.FLOAT32, (1, 1, 1, 3))
    pool = {"padding": "VALID", "stride_w": 224, "stride_h": 224, "filter_width": 1, "filter_height": 1}
    node = Node("max_pool_2d", (x,), (y,), {**pool, "fused_activation_function": "NONE"})
    return tflite.write(Model((Graph("main", (x,), (y,), (node,)),)))


def jobs(folder: Path) -> dict[str, tuple[Path, np.ndarray]]:
    """Name -> (model file, input)."""
    (folder / "image.tflite").write_bytes(image_model())
    rng = np.random.default_rng(0)
    found = {"602 kB": (folder / "image.tflite", rng.random(IMAGE, np.float32))}
    kws = MODELS / "mlperf_tiny" / "kws_ref_model_int8.tflite"
    if kws.is_file():
        found = {"kws 490 B": (kws, rng.integers(-128, 128, (1, 49, 10, 1)).astype(np.int8)), **found}
    return found


@contextmanager
def server(kind: str, model: Path, path: str, cores: set[int]) -> Iterator[None]:
    """One server process on its cores, listening on `path`."""
    command = [sys.executable, str(HERE.parent / "daemon_peers.py"), kind, str(model), path]

    def place() -> None:
        die_with_parent()
        os.sched_setaffinity(0, cores)

    process = subprocess.Popen(command, preexec_fn=place, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it says when it listens
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        process.stdout.close()


def crowd(
    kind: str, path: str, count: int, seconds: float, file: Path, cores: set[int]
) -> tuple[float, float, float]:
    """(p50 us, p99 us, requests/s) of `count` clients, in up to four processes."""
    processes = []
    for index in range(min(count, 4)):
        threads = count // min(count, 4) + (index < count % min(count, 4))
        command = [
            sys.executable,
            str(HERE.parent / "daemon_peers.py"),
            "client",
            kind,
            path,
            str(threads),
            str(seconds),
            str(file),
        ]

        def place() -> None:
            die_with_parent()
            os.sched_setaffinity(0, cores)

        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=place))
    times: list[float] = []
    rate = 0.0
    for process in processes:
        out, _ = process.communicate(timeout=seconds * 10 + 60)
        facts: dict[str, Any] = json.loads(out)
        times += facts["times"]
        rate += facts["rate"]
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], rate


def in_process(model: Path, cores: set[int]) -> float:
    """p50 of the model alone, in a process on `cores`."""
    command = [sys.executable, str(HERE.parent / "daemon_peers.py"), "direct", str(model)]
    done = subprocess.run(
        command, capture_output=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, cores)
    )
    return float(done.stdout)


def measure(seconds: float, peers: bool) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory(prefix="edged-bench-") as name:
        folder = Path(name)
        for job, (model, array) in jobs(folder).items():
            file = folder / "input.npy"
            np.save(file, array)
            for place, (server_cores, client_cores) in PLACES.items():
                alone = in_process(model, server_cores)
                rows.append((job, place, "in process", 1, alone, 0.0, 1e6 / alone, 0.0))
                for kind in SERVERS if peers else ("echo", "edged"):
                    for count in CLIENTS if kind in ("edged", "grpc") else (1,):
                        path = str(folder / f"{kind}.sock")
                        Path(path).unlink(missing_ok=True)
                        with server(kind, model, path, server_cores):
                            p50, p99, rate = crowd(kind, path, count, seconds, file, client_cores)
                        rows.append(
                            (job, place, kind, count, p50, p99, rate, p50 - alone if count == 1 else 0.0)
                        )
    return rows


def start_times() -> list[tuple[str, float, str]]:
    """Start to READY, idle memory, and load to first answer."""
    from support.daemon import RunningDaemon

    rows: list[tuple[str, float, str]] = []
    with tempfile.TemporaryDirectory(prefix="edged-bench-") as name:
        kws, big = (
            MODELS / f
            for f in ("mlperf_tiny/kws_ref_model_int8.tflite", "vision/mobilenet_v2_1.0_224_quant.tflite")
        )
        start = time.perf_counter()
        daemon = RunningDaemon(Path(name), f'[[model]]\nname = "kws"\npath = "{kws}"\n')
        rows.append(("start to READY with kws", (time.perf_counter() - start) * 1e3, "ms"))
        try:
            with daemon.connect() as client:
                client.open("kws")(np.zeros((1, 49, 10, 1), np.int8))
                rows.append(("idle RSS with kws loaded", daemon.rss() / 2**20, "MiB"))
                start = time.perf_counter()
                daemon.control("load", path=str(big), name="big")
                client.open("big")(np.zeros((1, 224, 224, 3), np.uint8))
                rows.append(
                    ("load of mobilenet_v2 to its first answer", (time.perf_counter() - start) * 1e3, "ms")
                )
        finally:
            daemon.stop()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--peers", action="store_true", help="gRPC and HTTP too (extra edged[bench])")
    chosen = parser.parse_args()
    print(table(HEADER, measure(chosen.seconds, chosen.peers)))
    if MODELS.is_dir():
        print(table(("what", "figure", "unit"), start_times()))


def test_daemon_figures() -> None:
    """For `make bench`."""
    print()
    print(table(HEADER, measure(0.5, True)))


if __name__ == "__main__":
    main()
