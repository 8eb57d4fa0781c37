"""The servers that bench_daemon.py compares, and a client of each: one process does one of these.

daemon_peers.py KIND MODEL SOCKET            serves, prints a line when it listens
daemon_peers.py client KIND SOCKET THREADS SECONDS INPUT.npy     prints {"times": [us ...], "rate": requests/s}
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

SERVERS = ("echo", "edged", "grpc", "http")
Ask = Callable[[], object]


def die_with_parent() -> None:
    """For preexec_fn."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def listening() -> None:
    print("listening", flush=True)


class Runner:
    """The model in this process, on one thread: bytes in, bytes out."""

    def __init__(self, path: str) -> None:
        from edged.backend import PrepareContext, RunContext, Subgraph
        from edged.config import Config, CpuConfig
        from edged.graph.passes import optimise
        from edged.plugins import load
        from edged.source import read_model

        model = optimise(read_model(Path(path)))
        backend = load(Config(cpu=CpuConfig(threads=1))).backends["cpu"].open()
        self.delegate = backend.prepare(PrepareContext(), Subgraph(model.main, model))
        self.context = RunContext(state=self.delegate.new_state())
        self.size = sum(t.nbytes for t in self.delegate.inputs)
        self.outputs = [memoryview(bytearray(t.nbytes)) for t in self.delegate.outputs]
        self.lock = threading.Lock()

    def __call__(self, body: bytes) -> bytes:
        with self.lock:
            self.delegate.run(self.context, [memoryview(body)], self.outputs)
            return b"".join(self.outputs)


def receive(sock: socket.socket, into: memoryview) -> None:
    at = 0
    while at < len(into):
        count = sock.recv_into(into[at:])
        if not count:
            raise ConnectionError
        at += count


def serve_echo(model: str, path: str) -> None:
    """490 or 602,112 bytes in, 16 back, and nothing else: the floor of copying through a socket."""
    size = Runner(model).size
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        listening()
        while True:
            sock, _ = listener.accept()
            room = memoryview(bytearray(size))
            try:
                while True:
                    receive(sock, room)
                    sock.sendall(bytes(16))
            except ConnectionError:
                sock.close()


def serve_edged(model: str, path: str) -> None:
    """The daemon itself."""
    folder = tempfile.mkdtemp()
    config = Path(folder) / "edged.toml"
    config.write_text(
        f'[daemon]\nsocket = "{path}"\nruntime_dir = "{folder}"\nstate_dir = "{folder}"\nlog_level = "error"\n'
        f'[cpu]\nthreads = 1\n[[model]]\nname = "m"\npath = "{model}"\n'
    )
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(f"{folder}/notify")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "edged", "--config", str(config), "run"],
        env={**os.environ, "NOTIFY_SOCKET": f"{folder}/notify"},
        preexec_fn=die_with_parent,
    )
    while b"READY" not in notify.recv(4096):
        pass
    signal.signal(signal.SIGTERM, lambda *_: daemon.terminate())
    listening()
    daemon.wait()


def serve_grpc(model: str, path: str) -> None:
    import grpc

    run = Runner(model)
    handler = grpc.method_handlers_generic_handler(
        "job", {"Run": grpc.unary_unary_rpc_method_handler(lambda body, _context: run(body))}
    )
    options = [("grpc.max_receive_message_length", 1 << 24)]
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[handler], options=options)
    server.add_insecure_port(f"unix:{path}")
    server.start()
    listening()
    server.wait_for_termination()


def serve_http(model: str, path: str) -> None:
    import uvicorn

    run = Runner(model)

    async def app(_scope: dict[str, Any], receive_: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive_()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        answer = run(body)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    threading.Timer(1.0, listening).start()
    uvicorn.run(app, uds=path, log_level="error", lifespan="off", loop="auto", http="auto")


def ask_echo(path: str, array: np.ndarray) -> Ask:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    body, room = array.tobytes(), memoryview(bytearray(16))

    def ask() -> None:
        sock.sendall(body)
        receive(sock, room)

    return ask


def ask_edged(path: str, array: np.ndarray) -> Ask:
    """As a camera would: the input is filled in place, once."""
    from edged_ipc import connect

    model = connect(path).open("m")
    slot = model.slot()
    slot.__enter__().inputs[0][...] = array
    return slot.run


def ask_grpc(path: str, array: np.ndarray) -> Ask:
    import grpc

    channel = grpc.insecure_channel(f"unix:{path}", options=[("grpc.use_local_subchannel_pool", 1)])
    call, body = channel.unary_unary("/job/Run"), array.tobytes()
    return lambda: call(body)


def ask_http(path: str, array: np.ndarray) -> Ask:
    import http.client

    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(path)
    body = array.tobytes()

    def ask() -> None:
        connection.request("POST", "/", body)
        connection.getresponse().read()

    return ask


ASK: dict[str, Callable[[str, np.ndarray], Ask]] = {
    "echo": ask_echo, "edged": ask_edged, "grpc": ask_grpc, "http": ask_http,
}  # fmt: skip


def client(kind: str, path: str, threads: int, seconds: float, file: str) -> None:
    """Asks as fast as answers come; the first tenth of the time is not counted."""
    array = np.load(file)
    times: list[list[float]] = [[] for _ in range(threads)]

    def work(mine: list[float]) -> None:
        ask = ASK[kind](path, array)
        begin = time.perf_counter()
        now = begin
        while now < begin + seconds * 1.1:
            start = time.perf_counter()
            ask()
            now = time.perf_counter()
            if now > begin + seconds * 0.1:
                mine.append((now - start) * 1e6)

    workers = [threading.Thread(target=work, args=(mine,)) for mine in times]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    every = [t for mine in times for t in mine]
    print(json.dumps({"times": every, "rate": len(every) / seconds}))


def direct(model: str) -> float:
    """p50 of the model in this process."""
    run = Runner(model)
    body = memoryview(bytes(run.size))
    times = []
    for _ in range(3000):
        start = time.perf_counter()
        run.delegate.run(run.context, [body], run.outputs)
        times.append((time.perf_counter() - start) * 1e6)
    return sorted(times)[1500]


if __name__ == "__main__":
    if sys.argv[1] == "direct":
        print(direct(sys.argv[2]))
    elif sys.argv[1] == "client":
        client(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6])
    else:
        {"echo": serve_echo, "edged": serve_edged, "grpc": serve_grpc, "http": serve_http}[sys.argv[1]](
            sys.argv[2], sys.argv[3]
        )
