"""Types of the C extension (backends/kernels/ext)."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

Buffer: TypeAlias = bytes | bytearray | memoryview | np.ndarray[Any, np.dtype[Any]]

def detect() -> int: ...
def table() -> list[tuple[int, str, str, int, int, int]]: ...
def params() -> dict[str, list[tuple[str, str]]]: ...
def op_params() -> dict[str, str]: ...

class Program:
    def __new__(
        cls, steps: bytes, operands: bytes, params: bytes, spaces: bytes, constants: tuple[Buffer, ...], /
    ) -> Program: ...

class Workspace:
    def __new__(cls, program: Program, threads: int = 1, /) -> Workspace: ...
    def memory(self) -> memoryview: ...
    def run(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        pool: Pool | None = None,
        begin: int = 0,
        end: int = ...,
        times: Buffer | None = None,
        /,
    ) -> None: ...

class Pool:
    threads: int
    def __new__(cls, threads: int, /) -> Pool: ...
