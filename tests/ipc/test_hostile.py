"""Clients that mean harm or break: nothing leaks, nobody else notices, and they are told what they broke."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from edged_ipc import messages as m
from edged_ipc import shm, wire
from edged_ipc.codes import Code
from edged_ipc.messages import Limits
from edged_ipc.rules import State
from sim.echo_service import EchoService
from support.raw_client import RawClient


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def shared_maps() -> int:
    return sum("edged-slots" in line for line in Path("/proc/self/maps").read_text().splitlines())


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, f"not within {seconds:g} s"
        sleep(0.002)


@pytest.fixture
def witness(here: Any) -> Any:
    """An honest client that must not notice anything."""
    client = RawClient(here.path)
    opened = client.open("echo-64")
    yield client
    client.infer(opened.session)
    client.hear(m.Done)
    client.close()
    until(lambda: not here.on_thread(lambda: here.server.ledger.accounts))
    assert not [error for _, error in here.reports if not isinstance(error, OSError)]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(4096),
        bytes(range(256)) * 16,
        wire.HEADER.pack(1, 0, wire.MAGIC, 0xFFFFFFFF),
        wire.encode(m.Infer(1, 0, 0)),
        wire.encode(m.Welcome(1, "", "", Limits())),
        wire.encode(m.Hello(1, 1, "x")) * 2,
    ],
)
def test_garbage(here: Any, witness: RawClient, data: bytes) -> None:
    client = RawClient(here.path, greet=False)
    client.send(data)
    client.connection._enter(State.GREETING)  # a Welcome may come before the Goodbye
    while not isinstance(message := client.hear(), m.Goodbye):
        assert isinstance(message, m.Welcome)
    assert message.code == Code.BAD_FRAME
    assert "client sent" in message.message


def test_half_a_frame_and_away(here: Any, witness: RawClient) -> None:
    for count in range(1, 40, 3):
        client = RawClient(here.path)
        client.send(wire.encode(m.Infer(1, 0, 0))[:count])
        client.close()
    until(lambda: len(here.server.clients()) == 1)


def attach(client: RawClient, session: int, slots: int, nbytes: int, *fds: int) -> m.Message:
    client.say(m.Attach(client.id(), session, slots, nbytes), *fds)
    return client.hear()


@pytest.mark.parametrize("what", ["file", "unsealed", "wrong size", "missing", "device"])
def test_foreign_memory(here: Any, witness: RawClient, what: str, tmp_path: Path) -> None:
    client = RawClient(here.path)
    client.say(m.Open(client.id(), "echo-64"))
    session = client.hear(m.Opened).session
    before = open_fds()
    if what == "file":
        (tmp_path / "f").write_bytes(bytes(128))
        fd = os.open(tmp_path / "f", os.O_RDWR)
    elif what == "device":
        fd = os.open("/dev/zero", os.O_RDWR)
    elif what == "unsealed":
        fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, 128)
    else:
        fd = shm.create(4096)
    answer = attach(client, session, 1, 128, *([] if what == "missing" else [fd]))
    os.close(fd)
    assert isinstance(answer, m.Failed)
    assert answer.code == Code.BAD_SLOT
    assert open_fds() == before
    client.infer(session)
    assert client.hear(m.Failed).code == Code.BAD_SLOT


def test_truncated_after_the_fact(here: Any, witness: RawClient) -> None:
    """Seals hold even against the owner: the daemon's mapping stays readable."""
    client = RawClient(here.path)
    client.say(m.Open(client.id(), "echo-64"))
    session = client.hear(m.Opened).session
    fd = shm.create(128)
    assert isinstance(attach(client, session, 1, 128, fd), m.Ack)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    client.infer(session)
    client.hear(m.Done)
    os.close(fd)


@pytest.mark.parametrize(
    ("slots", "nbytes"), [(0, 128), (1, 64), (2, 128), (0xFFFFFFFF, 128), (300, 300 * 128), (1, 1 << 63)]
)
def test_lying_about_slots(here: Any, witness: RawClient, slots: int, nbytes: int) -> None:
    client = RawClient(here.path)
    client.say(m.Open(client.id(), "echo-64"))
    session = client.hear(m.Opened).session
    fd = shm.create(128)
    answer = attach(client, session, slots, nbytes, fd)
    os.close(fd)
    assert isinstance(answer, m.Failed)
    assert answer.code == Code.BAD_SLOT


@pytest.mark.parametrize("count", [2, 5, 253])
def test_several_fds_with_one_attach(here: Any, witness: RawClient, count: int) -> None:
    """More than one is never taken: all are closed, this request fails, the connection goes on."""
    client = RawClient(here.path)
    client.say(m.Open(client.id(), "echo-64"))
    session = client.hear(m.Opened).session
    before = open_fds()
    fds = [shm.create(128) for _ in range(count)]
    answer = attach(client, session, 1, 128, *fds)
    for fd in fds:
        os.close(fd)
    assert isinstance(answer, m.Failed)
    assert "did not arrive" in answer.message
    assert open_fds() == before
    fd = shm.create(128)
    assert isinstance(attach(client, session, 1, 128, fd), m.Ack)
    os.close(fd)


def test_flood_of_fds(here: Any, witness: RawClient) -> None:
    """Descriptors that no Attach speaks of end the connection, and are closed."""
    client = RawClient(here.path)
    before = open_fds()
    fd = shm.create(128)
    frame = wire.encode(m.Control(1, "sleep", 60))
    for byte in frame[:20]:
        try:
            client.send(bytes([byte]), fd)
        except OSError:
            break
    assert "file descriptors" in client.hear(m.Goodbye).message
    os.close(fd)
    until(lambda: open_fds() < before)


def test_memory_over_quota(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(memory_bytes=1000)))
    client = RawClient(here.path)
    client.say(m.Open(client.id(), "echo-64"))
    session = client.hear(m.Opened).session
    fd = shm.create(8 * 128)
    answer = attach(client, session, 8, 8 * 128, fd)
    assert isinstance(answer, m.Failed)
    assert answer.code == Code.QUOTA_EXCEEDED
    os.close(fd)


def test_reader_that_never_reads(make_server: Callable[..., Any]) -> None:
    """Few of its answers are kept, no more of its frames are read, and after a while it is dropped."""
    here = make_server(unread_seconds=0.3)
    client = RawClient(here.path)
    body = bytes(10_000)
    client.sock.settimeout(5)

    def flood() -> None:
        for _ in range(20_000):
            client.say(m.Control(client.id(), "echo", body))

    with pytest.raises(OSError, match=r"[Bb]roken pipe|reset"):
        flood()
    until(lambda: not here.server.clients())
    honest = RawClient(here.path)
    honest.open("echo-4")


def test_killed_in_the_middle(here: Any, witness: RawClient) -> None:
    """kill -9 with requests under way: descriptors and mappings go back to what they were."""
    code = (
        "import sys, numpy, edged_ipc\n"
        "c = edged_ipc.connect(sys.argv[1])\n"
        "slow, never = c.open('slow-0.3', slots=4), c.open('never', slots=2)\n"
        "held = [slow.submit([[1]]) for _ in range(4)] + [never.submit([[1]])]\n"
        "c.control('echo'); print('ready', flush=True); held[-1].result()\n"
    )
    gc.collect()
    fds, maps = open_fds(), shared_maps()
    children = [
        subprocess.Popen([sys.executable, "-c", code, here.path], stdout=subprocess.PIPE) for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    assert shared_maps() > maps
    for child in children:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        assert child.stdout is not None
        child.stdout.close()
    until(lambda: here.service.open_sessions == 1)
    here.on_thread(gc.collect)
    assert open_fds() == fds
    assert shared_maps() == maps


def test_many_connections_at_once(make_server: Callable[..., Any]) -> None:
    here = make_server(connections=20)
    honest = RawClient(here.path)
    opened = honest.open("echo-4")
    before = open_fds()
    crowd = []
    for _ in range(200):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(here.path)
        crowd.append(sock)
    honest.infer(opened.session)
    honest.hear(m.Done)
    assert len(here.server.clients()) <= 20
    for sock in crowd:
        sock.close()
    until(lambda: len(here.server.clients()) == 1)
    assert open_fds() == before
