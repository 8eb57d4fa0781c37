"""What systemd hears, and what it hands over."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from edged import notify

Made = Callable[[notify.Notifier], notify.Notifier]


@pytest.fixture
def made() -> Iterator[Made]:
    """Keeps notifiers, and closes them at the end."""
    with ExitStack() as stack:
        yield lambda notifier: stack.enter_context(closing(notifier))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_states(made: Made, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = made(notify.from_environment())
    assert notifier.watchdog_seconds == 3.0
    notifier.ready("one model")
    notifier.alive()
    notifier.reloading(5)
    notifier.stopping()
    heard = [systemd.recv(1000) for _ in range(4)]
    assert heard == [
        b"READY=1\nSTATUS=one model", b"WATCHDOG=1", b"RELOADING=1\nMONOTONIC_USEC=5", b"STOPPING=1\nSTATUS=draining",
    ]  # fmt: skip


def test_children_do_not_speak_for_the_daemon(made: Made, systemd: socket.socket) -> None:
    made(notify.from_environment())
    assert "NOTIFY_SOCKET" not in os.environ


def test_the_watchdog_of_another_process_is_not_ours(made: Made, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    assert made(notify.from_environment()).watchdog_seconds == 0


def test_nobody_listens(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify.from_environment().send("READY=1")
    assert not made(notify.Notifier(str(tmp_path / "nobody"))).send("READY=1")


def test_an_abstract_address(made: Made) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0edged-test-{os.getpid()}")
        assert made(notify.Notifier(f"@edged-test-{os.getpid()}")).send("READY=1")
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("pid", "count", "names", "found"),
    [
        ("own", "2", "apps:control", {"apps": 3, "control": 4}),
        ("own", "2", "", {"fd3": 3, "fd4": 4}),
        ("own", "x", "apps", {}),
        ("1", "2", "apps:control", {}),
    ],
)
def test_sockets_that_are_handed_over(
    pid: str, count: str, names: str, found: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    monkeypatch.setattr(os, "set_inheritable", lambda fd, inheritable: kept.append(fd))
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()) if pid == "own" else pid)
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_FDNAMES", names)
    assert notify.listen_fds() == found
    assert kept == list(found.values())
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & set(os.environ)
