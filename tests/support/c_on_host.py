"""Generated C compiled for this machine, with the sanitizers, and run: its arena and state are heap blocks of just their size."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from edged.graph.model import Tensor
from edged_backends.mcu.codegen import Generated, write
from support.daemon import die_with_parent

Array = np.ndarray[Any, np.dtype[Any]]
FLAGS = (
    "-std=c99", "-O1", "-g1", "-Wall", "-Wextra", "-Wpedantic", "-Wvla", "-Wshadow", "-Werror",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
MAIN = """\
#define _POSIX_C_SOURCE 200112L
#include "@.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **words) {
    const size_t in[] = {INPUTS 0}, out[] = {OUTPUTS 0};
    unsigned char *arena = NULL, *state = malloc(STATE_BYTES + 1);
    if (count < 2 || state == NULL || posix_memalign((void **)&arena, 16, ARENA_BYTES)) return 9;
    memset(arena, 0xA5, ARENA_BYTES);
    @_init(state);
    for (int calls = atoi(words[1]); calls > 0; calls--) {
        for (int i = 0; i < IN_COUNT; i++)
            if (fread(@_tensor(arena, i), 1, in[i], stdin) != in[i]) return 8;
        if (@_run(arena, state)) return 7;
        for (int i = 0; i < OUT_COUNT; i++) fwrite(@_tensor(arena, -1 - i), 1, out[i], stdout);
    }
    free(arena), free(state);
    return 0;
}
"""


class HostProgram:
    """A program that takes calls, one after another."""

    def __init__(self, made: Generated, folder: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        write(made, folder)
        self._outputs, self._program = [t.nbytes for t in outputs], folder / "program"
        words = {
            "INPUTS": "".join(f"{t.nbytes}," for t in inputs), "OUTPUTS": "".join(f"{n}," for n in self._outputs),
            "IN_COUNT": str(len(inputs)), "OUT_COUNT": str(len(outputs)), "@": made.name,
            "STATE_BYTES": f"{made.name.upper()}_STATE_BYTES", "ARENA_BYTES": f"{made.name.upper()}_ARENA_BYTES",
        }  # fmt: skip
        text = MAIN
        for word, meaning in words.items():
            text = text.replace(word, meaning)
        (folder / "program.c").write_text(text)
        sources = sorted(path for path in made.files if path.endswith(".c"))
        objects = [_kernel(made, folder, path) for path in sources if path.startswith("kernels/")]
        rest = [folder / path for path in sources if not path.startswith("kernels/")]
        _gcc(f"-I{folder}", *map(str, [*rest, folder / "program.c", *objects]), "-lm", "-o", str(self._program))

    def run(self, calls: Sequence[Sequence[Array]]) -> list[list[bytes]]:
        """The outputs' bytes of each call; variables start anew with the first. A sanitizer's report is an error."""
        data = b"".join(np.ascontiguousarray(a).tobytes() for call in calls for a in call)
        done = subprocess.run([str(self._program), str(len(calls))], input=data, capture_output=True, timeout=300, preexec_fn=die_with_parent)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr.decode(errors='replace')[-3000:]}"
        ends = np.cumsum([0, *self._outputs]).tolist()
        size = ends[-1]
        return [[done.stdout[n * size + a : n * size + b] for a, b in pairwise(ends)] for n in range(len(calls))]


def _gcc(*words: str) -> None:
    done = subprocess.run(["gcc", *FLAGS, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@cache
def _objects() -> tempfile.TemporaryDirectory[str]:
    """Of kernels' files, by path and text (what they include stays the same in a run of the tests): programs share them. Gone when the tests end."""
    return tempfile.TemporaryDirectory(prefix="edged-objects-")


def _kernel(made: Generated, folder: Path, path: str) -> Path:
    kept = Path(_objects().name) / f"{hashlib.sha256(path.encode() + made.files[path]).hexdigest()}.o"
    if not kept.exists():
        _gcc("-c", str(folder / path), "-o", str(kept))
    return kept
