"""Generated C built into an image with a start-up of our own, and run on a Cortex-M of QEMU."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edged_backends.mcu.codegen import Generated, write
from support.daemon import die_with_parent

START = Path(__file__).resolve().parents[1] / "sim/mcu_image"
BOARDS = {
    "m4": ("mps2-an386", "cortex-m4", ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16")),
    "m7": ("mps2-an500", "cortex-m7", ("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16")),
    "m55": ("mps3-an547", "cortex-m55", ("-mcpu=cortex-m55",)),
}
"""Short name -> (QEMU's board, target, options of gcc)."""


def toolchain() -> None:
    """Skips with the reason where there is no cross compiler or emulator."""
    missing = [tool for tool in ("arm-none-eabi-gcc", "qemu-system-arm") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@dataclass
class Image:
    """An image for one board: `flash` and `static` bytes as the linker has them."""

    board: str
    elf: Path
    outputs: tuple[int, ...]
    flash: int
    static: int

    def run(self, inputs: list[bytes], plugin: str = "") -> list[list[bytes]]:
        """Outputs of each run. `inputs`: one run after another, an item for every tensor."""
        folder = self.elf.parent
        (folder / "in.bin").write_bytes(b"".join(inputs))
        command = [
            "qemu-system-arm", "-M", BOARDS[self.board][0], "-kernel", str(self.elf), "-display", "none", "-monitor", "none",
            "-serial", "none", "-semihosting-config", "enable=on,target=native", *(["-plugin", plugin] if plugin else []),
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, preexec_fn=die_with_parent)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stdout}{done.stderr}"
        self.said = done.stdout + done.stderr
        raw, size = (folder / "out.bin").read_bytes(), sum(self.outputs)
        assert len(raw) % size == 0
        return [self._split(raw[at : at + size]) for at in range(0, len(raw), size)]

    def _split(self, raw: bytes) -> list[bytes]:
        ends = np.cumsum((0, *self.outputs)).tolist()
        return [raw[a:b] for a, b in pairwise(ends)]

    @property
    def stack(self) -> int:
        """Bytes of stack that the deepest run took."""
        return int((self.elf.parent / "stack.bin").read_text())


def build(generated: Generated, folder: Path, board: str, inputs: tuple[int, ...], outputs: tuple[int, ...], level: str = "-O2") -> Image:
    """Compiles and links, with every warning an error."""
    write(generated, folder)
    name = generated.name
    files = sorted(str(folder / path) for path in generated.files if path.endswith(".c"))
    words = [
        f'-DMODEL_HEADER="{name}.h"', f"-DMODEL(x)={name.upper()}_##x", f"-DCALL(x)={name}_##x",
        f"-DINPUT_BYTES={','.join(map(str, inputs))}", f"-DOUTPUT_BYTES={','.join(map(str, outputs))}", f"-I{folder}",
    ]  # fmt: skip
    elf = folder / f"{board}.elf"
    command = [
        "arm-none-eabi-gcc", "-std=c99", level, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-mthumb", "-mfloat-abi=hard", *BOARDS[board][2],
        "-ffunction-sections", "-fdata-sections", "-fno-math-errno", "-fno-trapping-math", *words, *files, str(START / "start.c"),
        "--specs=nano.specs", "--specs=rdimon.specs", "-nostartfiles", "-T", str(START / "image.ld"), "-Wl,--gc-sections", "-lm",
        "-o", str(elf),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    sizes = subprocess.run(["arm-none-eabi-size", str(elf)], capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, re.findall(r"\d+", sizes.splitlines()[1])[:3])
    return Image(board, elf, outputs, text + data, data + bss)


def bare(generated: Generated, folder: Path, board: str, level: str = "-O2") -> int:
    """Bytes of text and data of the least firmware that runs the model: vectors, a reset that calls it, no libc but what the kernels need."""
    write(generated, folder)
    name, upper = generated.name, generated.name.upper()
    (folder / "bare.c").write_text(
        f'#include <stdint.h>\n#include "{name}.h"\n'
        f"static uint8_t arena[{upper}_ARENA_BYTES] __attribute__((aligned(16))), state[{upper}_STATE_BYTES + 1];\n"
        "extern uint32_t __stack, __data_start__, __data_end__, __data_load__, __bss_start__, __bss_end__;\n"
        # its loops stay loops: else gcc makes calls of memcpy and memset, which only a model that needs them should link
        '__attribute__((optimize("no-tree-loop-distribute-patterns")))\n'
        "void reset(void) { *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;\n"
        "uint32_t *to = &__data_start__, *from = &__data_load__; while (to < &__data_end__) *to++ = *from++;\n"
        f"for (to = &__bss_start__; to < &__bss_end__; to++) *to = 0; {name}_init(state); for (;;) {name}_run(arena, state); }}\n"
        '__attribute__((section(".vectors"), used)) static void *const vectors[2] = {&__stack, (void *)reset};\n'
    )
    files = [str(folder / path) for path in generated.files if path.endswith(".c")]
    command = [
        "arm-none-eabi-gcc", "-std=c99", level, "-mthumb", "-mfloat-abi=hard", *BOARDS[board][2], "-ffunction-sections", "-fdata-sections",
        "-fno-math-errno", "-fno-trapping-math", f"-I{folder}", *files, str(folder / "bare.c"), "--specs=nano.specs", "--specs=nosys.specs",
        "-nostartfiles", "-T", str(START / "image.ld"), "-Wl,--gc-sections", "-lm", "-o", str(folder / "bare.elf"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    sizes = subprocess.run(["arm-none-eabi-size", str(folder / "bare.elf")], capture_output=True, text=True, check=True).stdout
    text, data = map(int, re.findall(r"\d+", sizes.splitlines()[1])[:2])
    return text + data
