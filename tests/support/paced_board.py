"""The firmware's main loop as a process of this machine, one step at a time: bytes in, and out comes what it sent
before it slept again. Built with sanitizers; two programs are linked in, which a slot can be loaded with."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from types import TracebackType
from typing import Self

import pytest

from edged.backend import Subgraph
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged_backends.mcu.codegen import generate, write
from edged_backends.mcu.rig.firmware import RUNTIME
from support import host_board

ROOT = Path(__file__).resolve().parents[1]
RESET = b"\xff\xff\xff\xff"
NAMES = ("first_program", "second_program")


def _gcc(*words: str | Path) -> None:
    command = ["gcc", *host_board.FLAGS, *host_board.SANITIZERS, f"-I{RUNTIME}", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


@cache
def build(model: Model) -> Path:
    """The board with add_one.c and `model`'s generated code as its programs; skips where there is no gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("the firmware is C: gcc is needed")
    folder = Path(mkdtemp(prefix="edged-paced-board-"))
    made = optimise(model)
    code = generate(Subgraph(made.main, made), "generic", program_header=(RUNTIME / "program.h").read_bytes())
    write(code, folder / "model")
    sources = [
        (ROOT / "sim/echo_board/add_one.c", NAMES[0]),
        *((folder / "model" / path, NAMES[1]) for path in sorted(code.files) if path.endswith(".c")),
        *((path, None) for path in [ROOT / "sim/host_board/paced.c", *sorted(RUNTIME.glob("*.c"))]),
    ]
    objects = []
    for number, (source, name) in enumerate(sources):
        objects.append(folder / f"{number}.o")
        renamed = [f"-Dedged_program_descriptor={name}"] if name else []
        _gcc(*renamed, "-DEDGED_BOARD_QUALIFIER=", f"-I{folder / 'model'}", "-c", source, "-o", objects[-1])
    _gcc(*objects, "-lm", "-o", folder / "board")
    return folder / "board"


class PacedBoard:
    """One running board. `greeting` is what it said at its start, `descriptors` what stands first in the images of its
    two programs."""

    def __init__(self, program: Path) -> None:
        self._said = TemporaryFile()  # noqa: SIM115  closed in __exit__
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
        )
        both = self._record()
        self.descriptors = both[: len(both) // 2], both[len(both) // 2 :]
        self.greeting = self._record()

    def step(self, data: bytes) -> bytes:
        """What the board says to `data`."""
        return self._ask(len(data).to_bytes(4, "little") + data)

    def reset(self) -> bytes:
        """Another life; its first words."""
        return self._ask(RESET)

    def _ask(self, record: bytes) -> bytes:
        assert self._process.stdin is not None
        self._process.stdin.write(record)
        self._process.stdin.flush()
        return self._record()

    def _record(self) -> bytes:
        assert self._process.stdout is not None
        size = self._process.stdout.read(4)
        assert len(size) == 4, self._report()
        return self._process.stdout.read(int.from_bytes(size, "little"))

    def _report(self) -> str:
        self._process.wait(10)
        self._said.seek(0)
        return (
            f"the board ended with {self._process.returncode}: {self._said.read().decode(errors='replace')}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it; fails when a sanitizer had anything to say."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            status = self._process.wait(10)
            if error is None:
                assert status == 0, self._report()
        finally:
            self._process.kill()
            self._process.wait()
            self._said.close()
