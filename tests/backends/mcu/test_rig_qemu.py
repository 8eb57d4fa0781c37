"""The QEMU board as a process, and the line that can be made bad: with a firmware that only echoes."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
import serial

from edged.errors import ConfigError, LinkError
from edged_backends.mcu.rig.proxy import Faults
from edged_backends.mcu.rig.qemu import QemuBoard

SOURCES = Path(__file__).parents[2] / "sim/echo_board"
pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="needs qemu-system-arm and arm-none-eabi-gcc",
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("echo") / "echo.elf"
    flags = ["-mcpu=cortex-m4", "-mthumb", "-Os", "-nostdlib", "-Wall", "-Wextra", "-Werror"]
    command = ["arm-none-eabi-gcc", *flags, "-T", str(SOURCES / "link.ld"), str(SOURCES / "echo.c")]
    subprocess.run([*command, "-o", str(made)], check=True, timeout=60)
    return made


@pytest.fixture
def board(image: Path, tmp_path: Path) -> Iterator[QemuBoard]:
    made = QemuBoard("mps2-an386", image, tmp_path / "rig", seed=7)
    yield made
    made.close()


def opened(board: QemuBoard) -> serial.Serial:
    return serial.Serial(str(board.port), 115200, timeout=20)


def test_echo(board: QemuBoard) -> None:
    with opened(board) as port:
        board.power(True)
        assert port.read(1) == b"!"
        port.write(b"hello")
        assert port.read(5) == b"hello"
        board.reset()
        assert port.read(1) == b"!"
    assert board.proxy.passed == (5, 7)


def test_stop_and_cont(board: QemuBoard) -> None:
    with opened(board) as port:
        board.power(True)
        assert port.read(1) == b"!"
        board.control("stop")
        port.write(b"x")
        port.timeout = 0.2
        assert port.read(1) == b""
        board.control("cont")
        port.timeout = 20
        assert port.read(1) == b"x"


def test_unplug_and_plug(board: QemuBoard) -> None:
    port = opened(board)
    board.power(True)
    assert port.read(1) == b"!"
    board.proxy.unplug()
    with pytest.raises(serial.SerialException):
        port.read(1)
    port.close()
    with pytest.raises(serial.SerialException):
        opened(board)
    board.proxy.plug()
    with opened(board) as port:
        port.write(b"back")
        assert port.read(4) == b"back"


def test_power_off_keeps_the_port(board: QemuBoard) -> None:
    with opened(board) as port:
        board.power(True)
        assert port.read(1) == b"!"
        board.power(False)
        assert not board.running
        port.write(b"lost")
        board.power(True)
        assert port.read(1) == b"!"
        port.write(b"new")
        assert port.read(3) == b"new"


def test_bytes_are_lost_and_flipped(board: QemuBoard) -> None:
    with opened(board) as port:
        board.power(True)
        assert port.read(1) == b"!"
        board.proxy.faults = Faults(drop=0.1, flip=0.1)
        port.timeout = 1
        port.write(bytes(500))
        found = port.read(500)
    assert 300 < len(found) < 480
    assert 20 < sum(b != 0 for b in found) < 150


def test_a_paced_line_takes_its_time(board: QemuBoard) -> None:
    with opened(board) as port:
        board.power(True)
        assert port.read(1) == b"!"
        board.proxy.faults = Faults(baud=9600)
        start = monotonic()
        port.write(bytes(200))
        assert len(port.read(200)) == 200
    assert monotonic() - start > 150 * 10 / 9600  # a lower bound that a slow machine cannot break


def test_faults_are_seeded() -> None:
    faults = Faults(drop=0.05, flip=0.05, double=0.05)
    once, again = (faults.apply(bytes(1000), random.Random(3)) for _ in range(2))
    assert once == again != bytes(1000)


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    board = QemuBoard("mps2-an386", tmp_path / "none.elf", tmp_path / "rig")
    try:
        with pytest.raises(LinkError, match=r"did not start.*none\.elf"):
            board.power(True)
    finally:
        board.close()


def test_an_unknown_machine(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mps2-an386"):
        QemuBoard("abacus", tmp_path / "x", tmp_path)
