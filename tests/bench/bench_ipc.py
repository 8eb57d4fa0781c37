"""What edged_ipc itself costs: round trips through its echo service beside a raw Unix-socket echo, interleaved.

    python tests/bench/bench_ipc.py [--seconds 1] [--clients 1 4 16]

Jobs: a slot of 490 bytes and one of 602,112. Clients: `shared` copies arrays in and out of its slots, `slot` works on them in place,
`asleep` is `shared` that sleeps at once instead of looking for its answer for a while, `inline` sends the tensors through the socket, `asyncio` is the asyncio client. The raw echo sends 40 bytes and gets 32, like a request,
or the whole tensor there and back. Placement: `same` puts everybody on one core, `across` the server on core 0 and the clients on
core 1. Latencies are of all clients together; `cpu us` is processor time of server and clients per round trip. Prints figures, asserts none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing as mp
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
SERVICE = HERE.parents[1] / "sim" / "echo_service.py"
SIZES = (490, 602_112)
PLACES = {"same": ({1}, {1}), "across": ({0}, {1})}
ROW = "{:8} {:>8} {:>9} {:>8} {:>9} {:>9} {:>11} {:>8}"

Step = Callable[[], Any]


def raw_server(path: str, ready: Any) -> None:
    """Answers every whole message with its first bytes; one process, a blocking loop per connection thread."""
    import selectors

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(128)
    ready.set()
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                sock, _ = listening.accept()
                ask, answer = (int(x) for x in sock.recv(64).split())
                selector.register(sock, selectors.EVENT_READ, (ask, bytes(answer)))
                sock.sendall(b"k")
                continue
            sock = key.fileobj
            ask, answer_bytes = key.data
            got = 0
            while got < ask:
                data = sock.recv(1 << 18)
                if not data:
                    selector.unregister(sock)
                    break
                got += len(data)
            else:
                sock.sendall(answer_bytes)


def raw_step(path: str, ask: int, answer: int) -> Step:
    """A round trip over a raw socket."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(f"{ask} {answer}".encode().ljust(64))
    assert sock.recv(1) == b"k"
    data = bytes(ask)

    def step() -> None:
        sock.sendall(data)
        got = 0
        while got < answer:
            got += len(sock.recv(1 << 18))

    return step


def client_step(path: str, size: int, kind: str) -> Step:
    """A round trip through edged_ipc."""
    from edged_ipc import connect

    client = connect(path, inline=kind == "inline", spin=0.0 if kind == "asleep" else 1e-4)
    model = client.open(f"echo-{size}")
    x = np.arange(size).astype(np.uint8)
    np.testing.assert_array_equal(model(x)[0], x)
    if kind == "slot":
        slot = model.slot()
        return slot.run
    return lambda: model(x)


def measure(step: Step, seconds: float, barrier: Any) -> tuple[list[float], float]:
    """(latencies, processor seconds) of one client."""
    for _ in range(50):
        step()
    barrier.wait()
    taken = []
    began, end = time.process_time(), time.perf_counter() + seconds
    now = time.perf_counter()
    while now < end:
        step()
        after = time.perf_counter()
        taken.append(after - now)
        now = after
    return taken, time.process_time() - began


async def measure_async(path: str, size: int, seconds: float, barrier: Any) -> tuple[list[float], float]:
    from edged_ipc import connect_async

    model = await (await connect_async(path)).open(f"echo-{size}")
    x, taken = np.zeros(size, np.uint8), []
    await model(x)
    barrier.wait()
    began, end = time.process_time(), time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        await model(x)
        taken.append(time.perf_counter() - now)
    return taken, time.process_time() - began


def client_main(
    kind: str, paths: dict[str, str], size: int, seconds: float, cores: set[int], barrier: Any, out: Any
) -> None:
    os.sched_setaffinity(0, cores)
    if kind == "asyncio":
        out.put(asyncio.run(measure_async(paths["edged"], size, seconds, barrier)))
    elif kind == "raw":
        out.put(measure(raw_step(paths["raw"], 40, 32), seconds, barrier))
    elif kind == "raw all":
        out.put(measure(raw_step(paths["raw"], size, size), seconds, barrier))
    else:
        out.put(measure(client_step(paths["edged"], size, kind), seconds, barrier))


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(
    kind: str,
    size: int,
    clients: int,
    seconds: float,
    place: str,
    paths: dict[str, str],
    pids: dict[str, int],
) -> None:
    server_cores, client_cores = PLACES[place]
    pid = pids["raw" if kind.startswith("raw") else "edged"]
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), server_cores)
    context = mp.get_context("spawn")
    barrier, out = context.Barrier(clients), context.Queue()
    arguments = (kind, paths, size, seconds, client_cores, barrier, out)
    children = [context.Process(target=client_main, args=arguments, daemon=True) for _ in range(clients)]
    before = processor_seconds(pid)
    for child in children:
        child.start()
    results = [out.get() for _ in children]
    used = processor_seconds(pid) - before + sum(cpu for _, cpu in results)
    for child in children:
        child.join()
    all_taken = np.sort(np.concatenate([taken for taken, _ in results])) * 1e6
    p50, p99 = np.percentile(all_taken, [50, 99])
    rate, cost = len(all_taken) / seconds, used / len(all_taken) * 1e6
    print(
        ROW.format(place, size, kind, clients, f"{p50:.1f}", f"{p99:.1f}", f"{rate:.0f}", f"{cost:.1f}"),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 16])
    parser.add_argument(
        "--kinds", nargs="*", default=["raw", "raw all", "shared", "slot", "asleep", "inline", "asyncio"]
    )
    options = parser.parse_args()
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    print(json.dumps({"cores": os.cpu_count(), "python": sys.version.split()[0], "fds": soft}))
    with tempfile.TemporaryDirectory() as folder:
        paths = {"raw": f"{folder}/raw", "edged": f"{folder}/edged"}
        ready = mp.get_context("spawn").Event()
        raw = mp.get_context("spawn").Process(target=raw_server, args=(paths["raw"], ready), daemon=True)
        raw.start()
        ready.wait()
        echo = subprocess.Popen(
            [sys.executable, str(SERVICE), paths["edged"]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert echo.stdout is not None
        echo.stdout.readline()
        assert raw.pid is not None
        pids = {"raw": raw.pid, "edged": echo.pid}
        print(ROW.format("cores", "bytes", "way", "clients", "p50 us", "p99 us", "requests/s", "cpu us"))
        for place in PLACES:
            for size in SIZES:
                for clients in options.clients:
                    for kind in options.kinds:
                        row(kind, size, clients, options.seconds, place, paths, pids)
        echo.kill()
        echo.wait()
        raw.kill()


if __name__ == "__main__":
    main()
