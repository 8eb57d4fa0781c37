"""Whole programs on an aarch64 that is not there: cross-compiled kernels under qemu-user, with
instructions counted.

The kernels, a small loop over packed programs (tests/kernels/run_program.c) and a TCG plugin are built
into build/aarch64 on first use. Programs are lowered here, with the catalogue that the cross-compiled
table states."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from edged.backend import Subgraph
from edged.graph.model import Model
from edged_backends.assemble import assemble
from edged_backends.catalogue import Catalogue, KernelRow, parse_mask
from edged_backends.packing import tables
from edged_backends.program import Program
from support.networks import Array

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "aarch64"
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
ALIGN = 64


def missing() -> str:
    """What this machine lacks for it; empty when nothing."""
    lacking = [tool for tool in (COMPILER, EMULATOR, "cmake", "cc") if shutil.which(tool) is None]
    return f"needs {', '.join(lacking)} (apt: gcc-aarch64-linux-gnu qemu-user cmake)" if lacking else ""


def _command(*arguments: str | Path, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


@cache
def runner() -> Path:
    """The program loop, cross-compiled; built once."""
    _command(
        "cmake", "-S", ROOT, "-B", BUILD, "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_C_COMPILER={COMPILER}",
    )  # fmt: skip
    _command("cmake", "--build", BUILD, "--target", "run_program", "--parallel", "2")
    return BUILD / "run_program"


@cache
def plugin() -> Path:
    """The instruction counter for the emulator."""
    built = BUILD / "count_plugin.so"
    source = ROOT / "tests" / "kernels" / "count_plugin.c"
    runner()
    _command("cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", source, "-o", built)
    return built


@cache
def catalogue(mask: str) -> Catalogue:
    """The cross-compiled kernels, limited to `mask` ("neon,dotprod")."""
    rows: list[KernelRow] = []
    structs: dict[str, list[tuple[str, str]]] = {}
    ops: dict[str, str] = {}
    for line in _command(EMULATOR, runner()).stdout.splitlines():
        kind, *words = line.split(" ")
        if kind == "kernel":
            arch, op, name, mr, nr, kr = words
            rows.append(KernelRow(len(rows), int(arch), op, name, int(mr), int(nr), int(kr)))
        elif kind == "struct":
            structs[words[0]] = [
                (field, letter) for field, _, letter in (w.partition(":") for w in words[1:])
            ]
        else:
            ops[words[0]] = words[1]
    return Catalogue(tuple(rows), {op: structs[name] for op, name in ops.items()}, parse_mask(mask))


def lower(model: Model, mask: str) -> Program:
    """The program of a model's main graph for those kernels."""
    return assemble(Subgraph(model.main, model), catalogue(mask))


def run(
    program: Program, arrays: Sequence[Array], mask: str, cpu: str = "max", count: bool = False
) -> tuple[list[Array], int]:
    """Outputs, and the instructions of one warm run (0 unless `count`). Programs with Python steps or
    variables cannot run there."""
    if program.fallbacks or program.variables or program.resources:
        raise ValueError("only programs of kernels alone, without variables")
    with TemporaryDirectory() as folder:
        given, result = Path(folder, "program"), Path(folder, "outputs")
        given.write_bytes(_file(program, arrays, mask))
        extra = ["-plugin", str(plugin())] if count else []
        done = _command(EMULATOR, "-cpu", cpu, *extra, runner(), given, result, "2")
        raw = result.read_bytes()
    outputs, at = [], 0
    for tensor in program.outputs:
        outputs.append(np.frombuffer(raw, str(tensor.dtype), tensor.elements, at).reshape(tensor.shape))
        at += tensor.nbytes
    found = re.search(r"instructions (\d+)", done.stderr)
    return outputs, int(found.group(1)) if found else 0


def _file(program: Program, arrays: Sequence[Array], mask: str) -> bytes:
    made = tables(program, catalogue(mask))
    sections = [made.steps, made.operands, made.params, made.spaces]
    sections += [array.tobytes() for array in arrays]
    sections += [block.tobytes() for block in program.constants]
    packed = [struct.pack("<Q", len(sections))]
    for section in sections:
        packed += [struct.pack("<Q", len(section)), section, bytes(-len(section) % ALIGN)]
    return b"".join(packed)
