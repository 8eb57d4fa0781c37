"""The server as a whole: greeting, control, limits on connections, drain and stop."""

from __future__ import annotations

import gc
import os
import resource
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from edged_ipc import messages as m
from edged_ipc import wire
from edged_ipc.codes import Code
from edged_ipc.listening import bind
from edged_ipc.messages import Limits
from edged_ipc.poll import IN
from sim.echo_service import EchoService
from support.raw_client import RawClient


def test_greeting(here: Any) -> None:
    client = RawClient(here.path)
    assert client.welcome.version == m.PROTOCOL
    assert client.welcome.boot == here.server.boot
    (row,) = here.server.clients()
    assert (row.client, row.peer.pid, row.peer.uid) == ("raw", os.getpid(), os.getuid())
    assert row.peer.listener == "apps"


@pytest.mark.parametrize(("oldest", "newest"), [(2, 9), (0, 0)])
def test_versions_without_overlap(here: Any, oldest: int, newest: int) -> None:
    client = RawClient(here.path, greet=False)
    client.say(m.Hello(oldest, newest, "other"))
    assert client.hear(m.Goodbye).code == Code.UNSUPPORTED


def test_newer_client_gets_our_version(here: Any) -> None:
    client = RawClient(here.path, greet=False)
    client.say(m.Hello(1, 99, "newer"))
    assert client.hear(m.Welcome).version == m.PROTOCOL


def test_turned_away(here: Any) -> None:
    here.service.refused_uids.add(os.getuid())
    client = RawClient(here.path, greet=False)
    client.say(m.Hello(1, 1, "x"))
    goodbye = client.hear(m.Goodbye)
    assert (goodbye.code, goodbye.remedy) == (Code.NOT_PERMITTED, "add a policy to edged.toml")
    assert client.hear() is None


def test_no_hello(make_server: Callable[..., Any]) -> None:
    here = make_server(hello_seconds=0.05)
    client = RawClient(here.path, greet=False)
    assert "no Hello" in client.hear(m.Goodbye).message
    greeted = RawClient(here.path)
    greeted.say(m.Control(1, "sleep", 0.2))
    greeted.hear(m.Reply)


@pytest.mark.parametrize("options", [{"connections": 3}, {"user_connections": 3}])
def test_too_many_connections(make_server: Callable[..., Any], options: dict[str, int]) -> None:
    here = make_server(**options)
    clients = [RawClient(here.path) for _ in range(3)]
    late = RawClient(here.path, greet=False)
    assert late.hear(m.Goodbye).code == Code.QUOTA_EXCEEDED
    clients[0].close()
    while len(here.server.clients()) > 2:
        here.on_thread(lambda: None)
    RawClient(here.path)


def test_policy_limits_connections(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(connections=1)))
    first = RawClient(here.path)
    late = RawClient(here.path, greet=False)
    late.say(m.Hello(1, 1, "late"))
    assert late.hear(m.Goodbye).code == Code.QUOTA_EXCEEDED
    first.open("echo-4")


def test_control(here: Any) -> None:
    client = RawClient(here.path)
    body = {"a": [1, None, "text", b"raw", 2.5]}
    client.say(m.Control(1, "echo", body))
    assert client.hear(m.Reply).body == body
    client.say(m.Control(2, "count", 3))
    assert [client.hear(m.Event).body for _ in range(3)] == [0, 1, 2]
    assert client.hear(m.Reply).body == "counted"
    client.say(m.Control(3, "crash"))
    failed = client.hear(m.Failed)
    assert failed.code == Code.INTERNAL
    assert "secret" not in failed.message
    assert isinstance(here.reports[0][1], RuntimeError)


def test_slow_control_holds_nobody_up(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("echo-4")
    client.say(m.Control(100, "sleep", 5))
    for _ in range(10):
        client.infer(opened.session)
        client.hear(m.Done)


def test_slow_controls_are_bounded(here: Any) -> None:
    client = RawClient(here.path)
    for request in range(1, 18):
        client.say(m.Control(request, "sleep", 30))
    failed = client.hear(m.Failed)
    assert (failed.request, failed.code) == (17, Code.BUSY)


def test_control_of_somebody_who_has_gone_is_cancelled(here: Any) -> None:
    client = RawClient(here.path)
    client.say(m.Control(1, "sleep", 30))
    client.say(m.Control(2, "echo"))
    client.hear(m.Reply)
    client.close()
    while here.server.clients():
        here.on_thread(lambda: None)
    assert not here.reports


def test_drain_answers_what_was_read(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("slow-0.2", 2)
    first = client.infer(opened.session, 0)
    client.say(m.Control(client.id(), "echo"))
    client.hear(m.Reply)  # so the request has been read
    drained = []
    thread = threading.Thread(target=lambda: drained.append(here.server.drain(5)))
    thread.start()
    thread.join()
    assert drained == [True]
    client.infer(opened.session, 1)  # nobody reads this any more
    assert client.hear(m.Done).request == first
    here.server.stop()
    goodbye = client.hear(m.Goodbye)
    assert goodbye.code == Code.SHUTTING_DOWN
    assert "was not run" in goodbye.message
    with pytest.raises(ConnectionRefusedError):
        RawClient(here.path)


def test_who_asks_in_the_round_of_the_drain_hears_goodbye(here: Any) -> None:
    """Its frame was announced and is not read any more; hanging up on it would lose the word that it was not run."""
    client = RawClient(here.path)

    def drain_and_be_ready() -> None:
        (served,) = here.server.served
        here.server._drain()
        client.say(m.Control(client.id(), "echo"))
        served.ready(IN)

    here.on_thread(drain_and_be_ready)
    here.server.stop()
    assert client.hear(m.Goodbye).code == Code.SHUTTING_DOWN


def test_stop_tells_of_what_runs(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("never")
    asked = {client.infer(opened.session), client.id()}
    client.say(m.Control(max(asked), "sleep", 60))
    client.say(m.Control(client.id(), "echo"))
    client.hear(m.Reply)
    assert not here.server.drain(0.05)
    here.server.stop()
    failed = [client.hear(m.Failed) for _ in asked]
    assert {f.request for f in failed} == asked
    assert {f.code for f in failed} == {Code.UNKNOWN_OUTCOME}
    assert client.hear(m.Goodbye).code == Code.SHUTTING_DOWN


def test_two_sockets(here: Any, tmp_path: Any) -> None:
    here.server.listen(bind(tmp_path / "control.sock", 0o600), "control")
    client = RawClient(str(tmp_path / "control.sock"))
    client.say(m.Control(1, "peer"))
    pid, uid, gid, groups, listener = client.hear(m.Reply).body
    assert (pid, uid, gid, listener) == (os.getpid(), os.getuid(), os.getgid(), "control")
    assert set(groups) == set(os.getgroups())


def test_out_of_file_descriptors(here: Any) -> None:
    """The daemon turns clients away, says so in its log, does not spin, and goes on serving those it has."""
    gc.collect()  # so that no descriptor of an earlier test is closed, and free again, meanwhile
    client = RawClient(here.path)
    opened = client.open("echo-4")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
    used = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
        fill = []
        while True:
            try:
                fill.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                break
        for sock in waiting:
            sock.settimeout(10)
            sock.connect(here.path)
            assert sock.recv(1) == b""
        client.infer(opened.session)
        client.hear(m.Done)
        for fd in fill:
            os.close(fd)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(here.reports) == len(waiting)
    for sock in waiting:
        sock.close()
    RawClient(here.path).open("echo-4")


def test_frames_cut_anywhere(here: Any) -> None:
    client = RawClient(here.path)
    opened = client.open("echo-4")
    data = b"".join(client.connection.send(m.Infer(client.id(), opened.session, 0)) for _ in range(1))
    for byte in data:
        client.send(bytes([byte]))
    client.hear(m.Done)
    client.send(wire.encode(m.Control(client.id(), "echo"))[:9])
    client.close()
    while here.server.clients():
        here.on_thread(lambda: None)
