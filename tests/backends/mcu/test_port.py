"""A serial port: what cannot be opened, and one that goes away."""

from __future__ import annotations

import errno
import os
import pty
import resource
import termios
import tty
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from edged.errors import LinkError
from edged_backends.mcu.port import Port

serial = pytest.importorskip("serial", reason="boards need pyserial: pip install 'edged[mcu]'")


class Terminal:
    """A pseudo-terminal: `path` is what a port opens."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def unplug(self) -> None:
        for fd in (self.master, self.slave):
            if fd >= 0:
                os.close(fd)
        self.master = self.slave = -1


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.unplug()


def test_bytes_both_ways(terminal: Terminal) -> None:
    port = Port(terminal.path, 115200)
    port.write(b"there", 1)
    assert os.read(terminal.master, 100) == b"there"
    os.write(terminal.master, b"back")
    assert port.read(1) == b"back"
    start = monotonic()
    assert port.read(0.05) == b""
    assert 0.04 < monotonic() - start < 1
    port.close()


def test_what_is_no_serial_port(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, file, tmp_path / "fifo"):
        with pytest.raises(LinkError, match=r"cannot be opened: .*no serial port: correct \[\[mcu\]\] port"):
            Port(str(path), 115200)
    with pytest.raises(LinkError, match=r"cannot be opened: .*is it a serial port"):
        Port("/dev/null", 115200)
    with pytest.raises(LinkError, match=r"No such file or directory .plug the board in"):
        Port(str(tmp_path / "none"), 115200)


def test_a_second_opener_is_told_why(terminal: Terminal) -> None:
    port = Port(terminal.path, 115200)
    with pytest.raises(LinkError, match=r"another program has it open, or another .* names the same board"):
        Port(terminal.path, 115200)
    port.close()
    Port(terminal.path, 115200).close()


@pytest.mark.parametrize("baud", [-1, 1 << 40])
def test_a_baud_that_no_line_has(terminal: Terminal, baud: int) -> None:
    with pytest.raises(LinkError, match="cannot be opened"):
        Port(terminal.path, baud)


def test_unplugged_while_it_is_opened(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_fd: int, _queue: int) -> None:
        raise termios.error(errno.EIO, "Input/output error")

    monkeypatch.setattr(termios, "tcflush", gone)
    with pytest.raises(LinkError, match="cannot be opened"):
        Port(terminal.path, 115200)


def test_it_works_among_a_thousand_clients(terminal: Terminal) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] != resource.RLIM_INFINITY and limits[1] < 1200:
        pytest.skip(f"needs 1200 descriptors, the limit is {limits[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(1200, limits[0]), limits[1]))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1030)]
    try:
        port = Port(terminal.path, 115200)
        port.write(b"x", 1)
        os.write(terminal.master, b"y")
        assert port.read(1) == b"y"
        port.close()
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_two_hundred_ports_that_vanish_leave_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(200):
        terminal = Terminal()
        port = Port(terminal.path, 115200)
        terminal.unplug()
        use = partial(port.read, 1) if turn % 2 else partial(port.write, b"x", 1)
        with pytest.raises(LinkError, match="is gone"):
            use()
        port.close()
    assert len(os.listdir("/proc/self/fd")) == before
