"""Generated C compiled for this machine and called in this process."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edged.graph.model import Tensor
from edged_backends.mcu.codegen import Generated, write

Array = np.ndarray[Any, np.dtype[Any]]


class HostProgram:
    """A program's three functions over an arena of its own."""

    def __init__(self, made: Generated, folder: Path) -> None:
        write(made, folder)
        library = folder / f"{made.name}.so"
        files = sorted(str(folder / path) for path in made.files if path.endswith(".c"))
        command = ["gcc", "-std=c99", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC", f"-I{folder}", *files, "-lm", "-o", str(library)]
        subprocess.run(command, check=True, timeout=120)
        self._calls, self._name = ctypes.CDLL(str(library)), made.name
        self._memory = np.full(made.arena_bytes + 16, 0xA5, np.uint8)
        self._state = np.zeros(made.state_bytes + 1, np.uint8)
        self._arena = self._memory.ctypes.data + 15 & ~15
        self.reset()

    def reset(self) -> None:
        """Variables back to their first values."""
        self._call("init", None)(self._state.ctypes.data_as(ctypes.c_void_p))

    def _call(self, name: str, result: Any) -> Any:
        function = getattr(self._calls, f"{self._name}_{name}")
        function.restype = result
        return function

    def _tensor(self, which: int) -> int:
        return int(self._call("tensor", ctypes.c_void_p)(ctypes.c_void_p(self._arena), which))

    def run(self, inputs: Sequence[Array], outputs: Sequence[Tensor]) -> list[bytes]:
        """The outputs' bytes."""
        for place, value in enumerate(inputs):
            ctypes.memmove(self._tensor(place), np.ascontiguousarray(value).ctypes.data, value.nbytes)
        code = self._call("run", ctypes.c_int)(ctypes.c_void_p(self._arena), self._state.ctypes.data_as(ctypes.c_void_p))
        assert code == 0
        return [ctypes.string_at(self._tensor(-1 - i), tensor.nbytes) for i, tensor in enumerate(outputs)]
