"""Sockets to listen on: leftovers, ready-made ones, modes, and who connects."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import threading
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from edged_ipc import listening
from edged_ipc.listening import ListenError, adopt, bind, identity, peer_of, withdraw


def test_mode_and_group(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bind(path, 0o660, group=os.getgid()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_leftover_of_a_dead_daemon_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind(path).close()
    assert path.exists()
    with bind(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_living_daemon_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bind(path) as first:
        with pytest.raises(ListenError, match="somebody listens on"):
            bind(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert first.fileno() >= 0


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(ListenError, match="cannot listen"):
        bind(path)
    assert path.read_text() == "precious"


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="107 bytes"):
        bind(tmp_path / ("x" * 120))
    with pytest.raises(ListenError, match="No such file"):
        bind(tmp_path / "no" / "s")


def test_adopt(tmp_path: Path) -> None:
    ready = bind(tmp_path / "s")
    with adopt(ready.detach()), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))


def test_adopt_what_does_not_listen() -> None:
    a, b = socket.socketpair()
    with a, b, pytest.raises(ListenError, match="not a listening Unix stream socket"):
        adopt(a.fileno(), "edged.socket")


def test_peer() -> None:
    a, b = socket.socketpair()
    with a, b:
        peer = peer_of(a, "apps")
    assert (peer.pid, peer.uid, peer.gid, peer.listener) == (os.getpid(), os.getuid(), os.getgid(), "apps")
    assert set(peer.groups) == set(os.getgroups())

def test_only_the_own_socket_is_withdrawn(tmp_path: Path) -> None:
    """A daemon that takes its time to end must not take away its successor's."""
    path = tmp_path / "s"
    with bind(path):
        mine = identity(path)
        sleep(0.02)  # files are dated by the tick
    with bind(path), socket.socket(socket.AF_UNIX) as client:
        withdraw(path, mine)
        client.connect(str(path))
    withdraw(path, identity(path))
    assert not path.exists()
    withdraw(path, mine)  # it has gone already


def test_daemons_that_start_at_once_leave_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between bind and listen nobody answers on a socket, and still it is not a leftover."""
    path, bound, go = tmp_path / "s", threading.Event(), threading.Event()
    plain = listening._bind

    def slow(*arguments: Any) -> None:
        plain(*arguments)
        bound.set()
        assert go.wait(10)

    monkeypatch.setattr(listening, "_bind", slow)
    first: list[socket.socket] = []
    thread = threading.Thread(target=lambda: first.append(bind(path)))
    thread.start()
    assert bound.wait(10)
    monkeypatch.setattr(listening, "_bind", plain)
    threading.Timer(0.1, go.set).start()
    with pytest.raises(ListenError, match="somebody listens"):
        bind(path)
    thread.join(10)
    with first[0], socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_lock_that_somebody_sits_on_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "LOCK_SECONDS", 0.05)
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    bind(tmp_path / "s").close()
    os.close(folder)
