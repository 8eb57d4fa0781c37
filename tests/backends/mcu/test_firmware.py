"""Every board port compiles, and its image has vectors where the CPU looks for them."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from time import monotonic

import pytest

from edged.errors import BackendError
from edged_backends.mcu.elf import flat
from edged_backends.mcu.port import Port
from edged_backends.mcu.rig import firmware
from edged_backends.mcu.rig.firmware import PORTS, build
from edged_backends.mcu.rig.qemu import QemuBoard
from support import boards

BASES = {"stm32f446": 0x08000000, "rp2040": 0x20000000}


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
@pytest.mark.parametrize("board", PORTS)
def test_it_compiles(board: str, tmp_path: Path) -> None:
    image = flat(build(board, boards.PORTS, tmp_path).read_bytes())
    assert image.address == BASES.get(board, 0)
    stack, start = struct.unpack_from("<II", image.data)
    assert stack > 0x20000000
    assert start & 1, "code of these CPUs is Thumb"
    assert image.address < start < image.address + len(image.data)
    assert len(image.data) < 16 * 1024


def test_a_board_without_a_port(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"no port for 'abacus'.*rp2040"):
        build("abacus", boards.PORTS, tmp_path)


@pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here")
def test_ticks_neither_leap_nor_go_back_when_systick_wraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-icount makes a tick some instructions, so the loop sees the counter at every value near its end."""
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for source in (firmware.RUNTIME / "board.h", boards.ROOT / "tests/sim/ticks_board/ticks.c"):
        shutil.copy(source, runtime)
    monkeypatch.setattr(firmware, "RUNTIME", runtime)
    image = firmware.build("mps2-an386", boards.PORTS, tmp_path / "made")
    rig = QemuBoard("mps2-an386", image, tmp_path / "rig", extra=("-icount", "shift=3"))
    try:
        rig.power(True)
        port = Port(str(rig.port), 115200)
        said, end = b"", monotonic() + 120
        while b"!" not in said and monotonic() < end:
            said += port.read(5)
        port.close()
    finally:
        rig.close()
    assert said == b"0!"
