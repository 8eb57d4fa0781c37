"""What generated C keeps from: recursion, calls through pointers, frames of unknown size, a heap; as the compiler itself reports it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from edged.backend import Subgraph
from edged.demo import MODELS as DEMO
from edged.formats import tflite
from edged.graph.passes import optimise
from edged_backends.mcu.codegen import generate, write
from edged_backends.mcu.compile import TARGETS
from support import mcu_image

FLAGS = ("-std=c99", "-O2", "-mthumb", "-Wall", "-Wextra", "-Wpedantic", "-Wvla", "-Wshadow", "-Werror", "-fcallgraph-info=su")
HEAP = {"malloc", "calloc", "realloc", "free", "_sbrk", "printf", "puts"}
MOST_STACK = 2048


class Calls:
    """The call graph that gcc wrote beside the objects: who calls whom, and the frame of each, in bytes and kind."""

    def __init__(self, folder: Path) -> None:
        self.edges: dict[str, set[str]] = {}
        self.frames: dict[str, tuple[int, str]] = {}
        for file in folder.rglob("*.ci"):
            text = file.read_text()
            for name, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]*)"', text):
                frame = re.search(r"(\d+) bytes \(([\w,]+)\)", label)
                if frame:
                    self.frames[name] = int(frame[1]), frame[2]
            for caller, callee in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text):
                self.edges.setdefault(caller, set()).add(callee)

    def reached(self, start: str) -> set[str]:
        found, wanted = set[str](), [start]
        while wanted:
            name = wanted.pop()
            if name not in found:
                found.add(name)
                wanted += self.edges.get(name, ())
        return found

    def depth(self, name: str, above: tuple[str, ...] = ()) -> int:
        """Bytes of stack below a call of `name`. A cycle is an AssertionError that names it."""
        assert name not in above, f"recursion: {' -> '.join((*above, name))}"
        below = [self.depth(callee, (*above, name)) for callee in self.edges.get(name, ())]
        return self.frames.get(name, (0, ""))[0] + max(below, default=0)


def calls_of(path: Path, target: str, folder: Path) -> Calls:
    """The model's program, compiled file by file."""
    model = optimise(tflite.read(path.read_bytes()))
    made = generate(Subgraph(model.main, model), target, "net")
    write(made, folder)
    for source in sorted(name for name in made.files if name.endswith(".c")):
        command = ["arm-none-eabi-gcc", *TARGETS[target].gcc, *FLAGS, "-c", str(folder / source), "-o", str(folder / f"{source}.o")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]
    return Calls(folder)


def check(calls: Calls) -> None:
    reached = calls.reached("net_run") | calls.reached("net_init")
    assert len(reached) > 3, "the call graph was read"
    assert "__indirect_call" not in reached
    assert not HEAP & {name.rpartition(":")[2] for name in reached}
    assert {kind for name, (_, kind) in calls.frames.items() if name in reached} == {"static"}
    assert 0 < calls.depth("net_run") < MOST_STACK


@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
def test_a_program_is_restrained(target: str, tmp_path: Path) -> None:
    mcu_image.toolchain()
    check(calls_of(DEMO["int8"], target, tmp_path))


@pytest.mark.parametrize("name", ["mlperf_tiny/ic_pretrainedResnet_int8", "tflm/audio_preprocessor_int8", "tflm/keras_lstm_mnist_ptq"])
def test_so_are_other_models(models: Path, name: str, tmp_path: Path) -> None:
    mcu_image.toolchain()
    check(calls_of(models / f"{name}.tflite", "cortex-m4", tmp_path))


def test_what_is_not_is_found(tmp_path: Path) -> None:
    mcu_image.toolchain()
    (tmp_path / "bad.c").write_text(
        "#include <stdlib.h>\nint net_init(int n);\nint net_run(int n);\nint again(int n, int (*f)(int));\n"
        "int again(int n, int (*f)(int)) { char room[n + 1]; room[n] = (char)f(n); return n ? again(n - 1, f) + room[n] : 0; }\n"
        "int net_init(int n) { return malloc((size_t)n) != 0; }\nint net_run(int n) { return again(n, net_init) + 1; }\n"
    )
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-O0", "-fcallgraph-info=su", "-c", str(tmp_path / "bad.c"), "-o", str(tmp_path / "bad.o")]
    subprocess.run(command, check=True, timeout=60)
    calls = Calls(tmp_path)
    reached = calls.reached("net_run") | calls.reached("net_init")
    assert "__indirect_call" in reached
    assert HEAP & reached
    assert any("dynamic" in kind for _, kind in calls.frames.values())
    with pytest.raises(AssertionError, match="recursion: net_run -> again -> again"):
        calls.depth("net_run")
