"""The firmware's main loop built for this machine, with sanitizers: opposite the Python half without QEMU."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from edged_backends.mcu.rig.firmware import RUNTIME

SOURCE = Path(__file__).resolve().parents[1] / "sim" / "host_board" / "host.c"
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Wno-pointer-to-int-cast"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@cache
def build(*baked: Path) -> Path:
    """The program, built once, with the sources of a model's program linked in or none; skips where there
    is no gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("the firmware is C: gcc is needed")
    made = Path(mkdtemp(prefix="edged-host-board-")) / "board"
    sources = [str(SOURCE), *map(str, sorted(RUNTIME.glob("*.c"))), *map(str, baked)]
    command = ["gcc", *FLAGS, *SANITIZERS, "-DEDGED_BOARD_QUALIFIER=", f"-I{RUNTIME}", *sources]
    done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return made


def answers(data: bytes, *baked: Path) -> tuple[bytes, int, str]:
    """What the firmware says to these bytes, its exit status, and the sanitizers' report."""
    done = subprocess.run([str(build(*baked))], input=data, capture_output=True, timeout=60)
    return done.stdout, done.returncode, done.stderr.decode(errors="replace")
