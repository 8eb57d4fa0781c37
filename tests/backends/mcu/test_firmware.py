"""Every board port compiles, and its image has vectors where the CPU looks for them."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from edged.errors import BackendError
from edged_backends.mcu.elf import flat
from edged_backends.mcu.rig.firmware import PORTS, build
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
