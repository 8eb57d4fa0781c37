"""Sockets to listen on: leftovers, ready-made ones, modes, and who connects."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from edged_ipc.listening import ListenError, adopt, bind, peer_of


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
