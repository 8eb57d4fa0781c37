"""Builds the firmware of a board: the runtime of this package and a port from a folder of ports
(hil/boards)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edged.errors import BackendError
from edged_backends.mcu.compile import TARGETS

RUNTIME = Path(__file__).resolve().parent.parent / "runtime"
FLAGS = (
    *("-std=c11", "-Os", "-mthumb", "-ffunction-sections", "-fdata-sections"),
    *("-Wall", "-Wextra", "-Wpedantic", "-Werror"),
)


@dataclass(frozen=True, slots=True)
class Port:
    """A board's row: its CPU, its port (NAME.c and NAME.ld over cortex_m.c), and the numbers that it is
    compiled with."""

    target: str
    name: str
    numbers: Mapping[str, str] = field(default_factory=dict)


MPS2 = {
    "PORT_UART": "0x40004000u", "PORT_CLOCK": "25000000u", "PORT_SLOT": "0x20100000u",
    "PORT_ARENA": "0x20200000u", "PORT_WATCHDOG": "0x40008000u", "PORT_WATCHDOG_CLOCK": "25000000u",
    "PORT_INTERRUPTS": "32",
    "PORT_RECEIVE_INTERRUPT": "0", "PORT_SEND_INTERRUPT": "1",
}  # fmt: skip
MPS3 = {
    "PORT_UART": "0x59303000u", "PORT_CLOCK": "32000000u", "PORT_SLOT": "0x21000000u",
    "PORT_ARENA": "0x21200000u", "PORT_WATCHDOG": "0x5802E000u", "PORT_WATCHDOG_CLOCK": "32000u",
    "PORT_INTERRUPTS": "64", "PORT_RECEIVE_INTERRUPT": "33",
    "PORT_SEND_INTERRUPT": "34",
}  # fmt: skip
PORTS = {
    "mps2-an386": Port("cortex-m4", "mps2", MPS2),
    "mps2-an500": Port("cortex-m7", "mps2", {**MPS2, "PORT_FLASH": "0x00200000u"}),
    "mps3-an547": Port("cortex-m55", "mps2", MPS3),
    "stm32f446": Port("cortex-m4", "stm32f446", {"PORT_INTERRUPTS": "97", "PORT_RECEIVE_INTERRUPT": "38"}),
    "rp2040": Port("cortex-m0plus", "rp2040", {"PORT_INTERRUPTS": "32", "PORT_RECEIVE_INTERRUPT": "20"}),
}


def build(board: str, ports: Path, folder: Path) -> Path:
    """The ELF file of `board`'s firmware, made in `folder`. BackendError with the compiler's words."""
    if board not in PORTS:
        raise BackendError(f"no port for {board!r}", remedy=f"there are: {', '.join(PORTS)}")
    if shutil.which("arm-none-eabi-gcc") is None:
        raise BackendError("arm-none-eabi-gcc is missing", remedy="apt-get install gcc-arm-none-eabi")
    port = PORTS[board]
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{board}.elf"
    numbers = {**port.numbers, "PORT_NAME": f'"{board}"', "PORT_TARGET": f'"{port.target}"'}
    command = ["arm-none-eabi-gcc", *FLAGS, *TARGETS[port.target].gcc, "--specs=nano.specs", "-nostartfiles"]
    command += [f"-D{name}={value}" for name, value in numbers.items()]
    command += ["-Wl,--gc-sections", "-T", str(ports / f"{port.name}.ld"), f"-L{ports}"]
    ours = [ports / f"{name}.c" for name in ("cortex_m", "simflash", port.name)]
    sources = [*ours, *sorted(RUNTIME.glob("*.c"))]
    command += [f"-I{RUNTIME}", f"-I{ports}", *map(str, sources)]
    done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise BackendError(f"the firmware of {board} does not compile: {done.stderr[-800:]}")
    return made
