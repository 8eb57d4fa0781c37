"""C sources of a program -> the bytes of it for one slot of a board. Knows compilers, nothing of models.

`arm-none-eabi-gcc` where it is installed, otherwise the clang inside the `ziglang` wheel. What was compiled
is kept by the digest of everything that went in, in a cache or beside the model ("delivered"), so a gateway
that was given the programs needs no compiler.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edged.backend import silent
from edged.errors import BackendError
from edged_backends.mcu.elf import flat

SECONDS = 300.0
DIGEST_BYTES = 32
FREESTANDING = Path(__file__).with_name("freestanding")
FLAGS = (
    *("-std=c99", "-O2", "-mthumb", "-ffunction-sections", "-fdata-sections"),
    *("-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra", "-Wpedantic", "-Werror"),
)
TELLING = ("error:", "undefined", "overflow", "will not fit", "a program keeps", "cannot find")
SCRIPT = """\
MEMORY {{ slot (rx) : ORIGIN = {address:#x}, LENGTH = {size:#x} }}
ENTRY(edged_program_descriptor)
SECTIONS
{{
    .program : {{ KEEP(*(.edged_program)) *(.text*) *(.rodata*) . = ALIGN(16); }} > slot
    .writable (NOLOAD) : {{ *(.data*) *(.bss*) *(COMMON) }} > slot
    ASSERT(SIZEOF(.writable) == 0, "a program keeps all that it writes in its arena and state")
    /DISCARD/ : {{ *(.ARM.exidx*) *(.ARM.extab*) *(.comment*) *(.ARM.attributes*) *(.note*) }}
}}
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A CPU that programs are compiled for: what gcc is told of it, and what clang is."""

    name: str
    gcc: tuple[str, ...]
    clang: tuple[str, ...]


def _target(name: str, fpu: str, features: str = "") -> Target:
    """`features`: those that zig does not count among the CPU's own."""
    gcc = (f"-mcpu={name}", f"-mfpu={fpu}" if fpu else "", "-mfloat-abi=hard")
    return Target(name, tuple(filter(None, gcc)), (f"-mcpu={name.replace('-', '_')}{features}",))


TARGETS = {
    t.name: t
    for t in (
        Target("cortex-m0plus", ("-mcpu=cortex-m0plus", "-mfloat-abi=soft"), ("-mcpu=cortex_m0plus",)),
        Target("cortex-m3", ("-mcpu=cortex-m3", "-mfloat-abi=soft"), ("-mcpu=cortex_m3",)),
        _target("cortex-m4", "fpv4-sp-d16"),
        _target("cortex-m7", "fpv5-sp-d16"),
        _target("cortex-m33", "fpv5-sp-d16", "+dsp"),
        _target("cortex-m55", "", "+dsp+mve_fp"),
    )
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a program is to lie on a board."""

    target: str
    address: int
    size: int


@dataclass(frozen=True, slots=True)
class Compiler:
    """A cross compiler: how it is called, and what it says it is."""

    kind: str
    command: tuple[str, ...]
    version: str

    def flags(self, target: Target) -> tuple[str, ...]:
        if self.kind == "gcc":
            return (*target.gcc, "--specs=nano.specs", "-nostartfiles", "-Wl,--gc-sections")
        hidden = (
            "-ffreestanding",
            "-fbuiltin",
            "-ffp-contract=off",  # as gcc has it with -std=c99
            "-isystem",
            str(FREESTANDING),
            "-fno-sanitize=all",
            "-g0",
            "-Wl,--gc-sections",
        )
        abi = "eabi" if "-mfloat-abi=soft" in target.gcc else "eabihf"
        return ("-target", f"thumb-freestanding-{abi}", *target.clang, *hidden)


def compilers() -> Sequence[Compiler]:
    """Those that are here, best first."""
    found = []
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc:
        found.append(Compiler("gcc", (gcc,), _said([gcc, "-dumpfullversion"])))
    if importlib.util.find_spec("ziglang") is not None:
        zig = (sys.executable, "-m", "ziglang")
        found.append(Compiler("zig", (*zig, "cc"), _said([*zig, "version"])))
    return [compiler for compiler in found if compiler.version]


def _said(command: Sequence[str]) -> str:
    """The version; "" of a compiler that does not even tell that."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def digest(files: Mapping[str, bytes], place: Place) -> str:
    """What names a compiled program: its sources and its place, not the compiler, so that one compiled
    elsewhere is found."""
    made = hashlib.sha256(f"{place.target} {place.address:#x} {place.size:#x}\n".encode())
    for name in sorted(files):
        made.update(f"{name} {len(files[name])}\n".encode() + files[name])
    return made.hexdigest()


class Programs:
    """Compiled programs: looked for in `folders` (the cache first, then delivered ones), compiled into the
    first. A file is the program and its SHA-256: one that was cut off, or changed, is told to `log` and
    passed over."""

    def __init__(
        self,
        folders: Sequence[Path],
        available: Sequence[Compiler] | None = None,
        log: Callable[[str], None] = silent,
    ) -> None:
        self.folders = list(folders)
        self._available = available
        self._log = log

    def get(self, files: Mapping[str, bytes], place: Place) -> bytes:
        """The bytes for `place`. `files`: name -> text of every source and header. BackendError with the
        compiler's own words, or when there is none."""
        name, problems = f"{digest(files, place)}.bin", list[str]()
        for folder in self.folders:
            found = self._read(folder / name, problems)
            if found:
                return found
        data = self._compile(files, place, problems)
        if self.folders:
            self._keep(self.folders[0] / name, data)
        return data

    def _read(self, path: Path, problems: list[str]) -> bytes:
        """The program in the file; b"" where there is none, and where `problems` tell why it is not taken."""
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            problems.append(f"{path} cannot be read: {error.strerror}")
            self._log(problems[-1])
            return b""
        program, kept = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
        if not program or hashlib.sha256(program).digest() != kept:
            problems.append(f"{path} is damaged: it is not what was compiled")
            self._log(problems[-1])
            return b""
        return program

    def _keep(self, path: Path, data: bytes) -> None:
        """Whole or not at all: another process may look for it at the same time. Not kept, it is compiled
        again the next time."""
        name = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            os.fchmod(handle, 0o644)  # to be delivered to other gateways, read by other users
            with os.fdopen(handle, "wb") as file:
                file.write(data + hashlib.sha256(data).digest())
            os.replace(name, path)
        except OSError as error:
            self._log(f"{path.parent} keeps no compiled programs: {error.strerror}")
            if name:
                Path(name).unlink(missing_ok=True)

    def _compile(self, files: Mapping[str, bytes], place: Place, problems: Sequence[str]) -> bytes:
        available = compilers() if self._available is None else self._available
        if not available:
            why = "; ".join(problems) or "no compiled program was delivered with the model"
            raise BackendError(
                f"there is no compiler for boards, and {why}",
                remedy="apt-get install gcc-arm-none-eabi, or pip install ziglang",
            )
        try:
            with tempfile.TemporaryDirectory(prefix="edged-mcu-") as folder:
                return _build(available[0], files, place, Path(folder))
        except OSError as error:
            raise BackendError(f"no place to compile in: {error}", remedy="free some disk space") from None


def target(name: str) -> Target:
    """BackendError names those that there are."""
    if name not in TARGETS:
        raise BackendError(f"no target {name!r}", remedy=f"there are: {', '.join(TARGETS)}")
    return TARGETS[name]


def _build(compiler: Compiler, files: Mapping[str, bytes], place: Place, folder: Path) -> bytes:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    script = folder / "slot.ld"
    script.write_text(SCRIPT.format(address=place.address, size=place.size))
    sources = [str(folder / name) for name in sorted(files) if name.endswith(".c")]
    made = folder / "program.elf"
    command = [*compiler.command, *FLAGS, *compiler.flags(target(place.target)), f"-I{folder}"]
    command += ["-T", str(script), *sources, "-o", str(made)]
    if compiler.kind == "gcc":
        command += ["-lm", "-lc", "-lgcc"]
    _run(command, compiler)
    found = flat(made.read_bytes())
    if found.address != place.address:
        raise BackendError(f"the program was linked to {found.address:#x}, not {place.address:#x}")
    return found.data


def _run(command: Sequence[str], compiler: Compiler) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"{compiler.command[0]} did not run: {error}") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if any(word in line for word in TELLING)]
        said = "; ".join(lines[:3]) or done.stderr[-300:]
        raise BackendError(f"{compiler.kind} {compiler.version} refused the program: {said}")
