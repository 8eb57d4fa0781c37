"""Boards in QEMU for tests: firmware built once, a serial line that can be made bad."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from edged_backends.mcu.board import Board
from edged_backends.mcu.compile import Place, Programs
from edged_backends.mcu.port import Port
from edged_backends.mcu.rig.firmware import RUNTIME, build
from edged_backends.mcu.rig.qemu import QemuBoard

ROOT = Path(__file__).resolve().parents[2]
PORTS = ROOT / "hil" / "boards"
MISSING = [tool for tool in ("qemu-system-arm", "arm-none-eabi-gcc") if shutil.which(tool) is None]
REASON = f"needs {', '.join(MISSING)} (apt: qemu-system-arm gcc-arm-none-eabi)" if MISSING else ""


@contextmanager
def rig(machine: str, folder: Path, seed: int = 0) -> Iterator[QemuBoard]:
    """A board that serves; its firmware is kept in `folder`'s parent."""
    made = QemuBoard(machine, build(machine, PORTS, folder / "firmware"), folder / "rig", seed=seed)
    try:
        made.power(True)
        yield made
    finally:
        made.close()


def opened(rig: QemuBoard, patience: float = 5.0) -> Board:
    """The conversation with a rig's board."""
    return Board(partial(Port, str(rig.port), 115200), patience=patience)


def hand_made(board: Board, add: int = 1) -> bytes:
    """The program of tests/sim/echo_board/add_one.c, adding another number perhaps, compiled for the board's
    slot."""
    identity = board.identity or board.identify()
    source = (ROOT / "tests/sim/echo_board/add_one.c").read_bytes()
    files = {
        "add_one.c": source.replace(b"bytes[i] + 1", b"bytes[i] + %d" % add),
        "program.h": (RUNTIME / "program.h").read_bytes(),
    }
    place = Place(identity.target, identity.slot_address, identity.slot_bytes)
    return Programs([]).get(files, place)
