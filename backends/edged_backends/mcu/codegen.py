"""A subgraph as C: the program that the CPU backend would run, printed as calls of its kernels.

No interpreter, no heap, no file system: constants are `static const`, the arena is planned here, and a run is
one function after another. The folder builds by itself (Makefile, CMake) and in any firmware project.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from edged.backend import Subgraph
from edged.errors import BackendError
from edged.graph.model import Model, Tensor
from edged_backends.assemble import assemble
from edged_backends.mcu import sources, texts
from edged_backends.mcu.layout import Layout, kernel_steps, lay_out
from edged_backends.mcu.variables import first_values, statement
from edged_backends.operands import Space, anchor
from edged_backends.program import KernelStep, Program

DSP, MVE = 64, 128
TARGETS: Mapping[str, int] = {
    "cortex-m0plus": 0, "cortex-m3": 0, "cortex-m4": DSP, "cortex-m7": DSP, "cortex-m33": DSP,
    "cortex-m55": DSP | MVE, "generic": 0,
}  # fmt: skip
"""CPUs, and the instruction sets whose kernels they run; `generic` is any C99 compiler's."""


HEADERS = frozenset({
    "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math",
    "program", "setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio",
    "stdlib", "stdnoreturn", "string", "tgmath", "threads", "time", "uchar", "wchar", "wctype", "arm_acle",
    "arm_mve", "features",
})  # fmt: skip
"""Names that a model's header cannot have: C's, of what the kernels include, and of what glibc's include."""

TAKEN = {
    **dict.fromkeys(("all", "clean", "help", "install", "package", "test"), "is a target of CMake's own"),
    **dict.fromkeys(("c", "m"), "would name a library that hides the compiler's own"),
}
"""Names that a library cannot have, and why."""


@dataclass(frozen=True)
class Generated:
    """`files` by path, as text; the program's sizes in bytes, and its digest (of all files)."""

    name: str
    files: Mapping[str, bytes]
    arena_bytes: int
    state_bytes: int
    constant_bytes: int
    kernels: tuple[str, ...]
    steps: tuple[tuple[str, str], ...]
    """Node and kernel of each step of a run."""


def generate(
    subgraph: Subgraph, target: str, name: str = "model", *, program_header: bytes | None = None
) -> Generated:
    """C for a subgraph whose shapes are all known. `name` begins every public word of it. With
    `program_header`, the text of the firmware's program.h, a descriptor for its loader is added.

    BackendError names the node that cannot be generated, and why."""
    if target not in TARGETS:
        raise BackendError(f"no target {target!r}", remedy=f"there are: {', '.join(TARGETS)}")
    if name in HEADERS:
        why = f"{name}.h is a header of C, which the model's would hide"
        raise BackendError(why, remedy="choose another name")
    if name in TAKEN:
        raise BackendError(f"{name!r} {TAKEN[name]}", remedy="choose another name")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", name):
        raise BackendError(f"{name!r} cannot begin names in C", remedy="use small letters, digits and _")
    program = assemble(subgraph, sources.catalogue(TARGETS[target]), threads=1)
    _check(program)
    printer = _Printer(program, lay_out(program), name, subgraph.model)
    files: dict[str, bytes] = {
        f"kernels/{path}": _sized(path, text) for path, text in sources.needed(printer.kernels).items()
    }
    files[f"{name}.h"] = printer.header().encode()
    files[f"{name}.c"] = printer.source(tapped=program_header is not None).encode()
    made = sorted(path for path in files if path.endswith(".c"))
    words = {"name": name, "upper": name.upper(), "sources": " \\\n    ".join(made), "target": target,
             "listed": "\n    ".join(made), **texts.flags(target)}  # fmt: skip
    for path, text in texts.FILES.items():
        files[path] = Template(text).substitute(words).encode()
    if program_header is not None:
        digest = hashlib.sha256(b"".join(files[path] for path in sorted(files))).digest()
        files["program.h"] = program_header
        files[f"{name}_program.c"] = printer.descriptor(digest).encode()
    constants = sum(program.constants[i].nbytes for i in printer.used)
    constants += sum(program.constants[i].nbytes // 4 for i in printer.narrow)
    return Generated(
        name, files, printer.layout.arena_bytes, program.variable_bytes, constants, tuple(printer.kernels),
        tuple((step.where, step.kernel.name) for step in printer.steps),
    )  # fmt: skip


def _check(program: Program) -> None:
    """BackendError for what has no fixed place in memory."""
    kernel_steps(program)
    ends = [t for t in (*program.inputs, *program.outputs) if t in program.boxed]
    if ends:
        names = ", ".join(t.name for t in ends)
        raise BackendError(f"the size of {names} is known only at run time, which a board has no heap for")


SHIFTS = {"conv_s8": 5, "fc_s8": 5, "dw_s8": 5}
"""Ops whose rows for microcontrollers read their shifts, this operand, as int8 instead of int32."""


class _Printer:
    """One program's text. `kernels`: the functions called; `used`: the constants that are referred to;
    `narrow`: those that are shifts read as int8."""

    def __init__(self, program: Program, layout: Layout, name: str, model: Model) -> None:
        self.program, self.layout, self.name, self.model = program, layout, name, model
        self.steps = kernel_steps(program)
        self.structs = sources.structs()
        self.kernels = sorted({call.kernel.name for step in self.steps for call in step.calls})
        both = [found for step in self.steps for found in self._constants(step)]
        self.used = sorted({index for index, narrow in both if not narrow})
        self.shifts = self._shared({index for index, narrow in both if narrow})
        self.narrow = sorted(set(self.shifts.values()))

    def _shared(self, narrow: set[int]) -> dict[int, int]:
        """Shift constant -> the one printed for it: the largest that begins with its values."""
        values = {i: self._narrow(i).tobytes() for i in narrow}
        made: dict[int, int] = {}
        for index in sorted(narrow, key=lambda i: (-len(values[i]), i)):
            made[index] = next((i for i in made.values() if values[i].startswith(values[index])), index)
        return made

    @staticmethod
    def _constants(step: KernelStep) -> list[tuple[int, bool]]:
        """(constant, is it a shift that is read as int8?) of a step's operands."""
        refs = [(i, anchor(r)) for i, r in enumerate(step.operands) if r is not None]
        return [(r.value.index, _narrowed(step, i)) for i, r in refs if r.value.space is Space.CONSTANT]

    # ---- the header ----

    def header(self) -> str:
        ends = [
            f" *   {kind} {i}: {_described(t)}, {t.name}"
            for kind, tensors in (("input", self.program.inputs), ("output", self.program.outputs))
            for i, t in enumerate(tensors)
        ]
        words = {
            "name": self.name, "upper": self.name.upper(), "ends": "\n".join(ends),
            "arena": max(self.layout.arena_bytes, 16), "state": self.program.variable_bytes,
        }  # fmt: skip
        return Template(texts.HEADER).substitute(words)

    # ---- the source ----

    def source(self, *, tapped: bool) -> str:
        """`tapped`: with a second way to run, which tells when each step ends."""
        parts = [Template(texts.OPENING).substitute(name=self.name)]
        parts += [f"extern edged_kernel {kernel};" for kernel in self.kernels]
        parts += ["", *(self._constant(i) for i in self.used), *(self._shifts(i) for i in self.narrow)]
        parts += [self._step(i, step) for i, step in enumerate(self.steps)]
        steps = range(len(self.steps))
        words = {
            "name": self.name, "calls": "\n".join(f"    step_{i}(a, s);" for i in steps),
            "init": self._init(), "tensors": self._tensors(),
        }  # fmt: skip
        parts.append(Template(texts.CLOSING).substitute(words))
        if tapped:
            calls = "\n".join(f"    step_{i}(a, s);\n    tap({i});" for i in steps)
            parts.append(Template(texts.TAPPED).substitute(name=self.name, calls=calls))
        return "\n".join(parts)

    def _constant(self, index: int) -> str:
        raw = np.ascontiguousarray(self.program.constants[index]).view(np.uint8).reshape(-1)
        wide = raw.size % 4 == 0  # and then aligned as words
        values = raw.view("<u4") if wide else raw
        words = [f"0x{v:x}" for v in values.tolist()]
        width = 12 if wide else 24
        lines = ",\n    ".join(", ".join(words[i : i + width]) for i in range(0, len(words), width))
        kind = "uint32_t" if wide else "uint8_t"
        return f"static const {kind} c{index}[{len(words)}] = {{\n    {lines}\n}};"

    def _shifts(self, index: int) -> str:
        values = self._narrow(index)
        words = ", ".join(map(str, values.tolist()))
        return f"static const int8_t s{index}[{values.size}] = {{{words}}};"

    def _narrow(self, index: int) -> NDArray[np.int8]:
        return self.program.constants[index].view("<i4").reshape(-1).astype(np.int8)

    def _step(self, index: int, step: KernelStep) -> str:
        room = self.layout.scratch.get(index)
        struct = self.structs[step.kernel.op]
        fields = ", ".join(f".{name} = {_number(value)}" for name, value in step.params.items())
        lines = (
            f"/* {_comment(step.where)} */",
            f"static void step_{index}(uint8_t *a, uint8_t *s) {{",
            f"    static const edged_{struct}_params p = {{{fields or '0'}}};",
            f"    void *o[{len(step.operands)}];",
            f"    const edged_task t = {{0, {step.units}u, {'0' if room is None else f'a + {room}'}}};",
            *(f"    o[{i}] = {self._operand(step, i)};" for i in range(len(step.operands))),
            "    (void)a, (void)s;",
            f"    {step.kernel.name}(&p, o, &t);",
            "}",
            "",
        )
        return "\n".join(lines)

    def _operand(self, step: KernelStep, place: int) -> str:
        ref = step.operands[place]
        if ref is None:
            return "0"
        there = anchor(ref)
        if there.value.space is Space.CONSTANT and _narrowed(step, place):
            return f"EDGED_CONSTANT(s{self.shifts[there.value.index]}, {there.offset // 4})"
        if there.value.space is Space.CONSTANT:
            return f"EDGED_CONSTANT(c{there.value.index}, {there.offset})"
        if there.value.space is Space.VARIABLE:
            return f"s + {there.value.index + there.offset}"
        return f"a + {self.layout.at(ref)}"

    def _init(self) -> str:
        """Statements that give the variables their first values."""
        lines = [f"    memset(s, 0, {self.program.variable_bytes}u);"] if self.program.variable_bytes else []
        lines += [statement(at, raw) for at, raw in first_values(self.program, self.model)]
        return "\n".join(lines)

    def _tensors(self) -> str:
        """Cases of the switch in name_tensor."""
        cases = [(i, at) for i, at in enumerate(self.layout.inputs)]
        cases += [(-1 - i, at) for i, at in enumerate(self.layout.outputs)]
        return "\n".join(f"    case {which}: return a + {at};" for which, at in cases)

    # ---- for the firmware's loader ----

    def descriptor(self, digest: bytes) -> str:
        tensors = [*self.program.inputs, *self.program.outputs]
        words = {
            "name": self.name, "upper": self.name.upper(), "inputs": len(self.program.inputs),
            "outputs": len(self.program.outputs), "bytes": ", ".join(f"{t.nbytes}u" for t in tensors),
            "digest": ", ".join(f"0x{b:02x}" for b in digest), "short": self.name[:15],
            "steps": len(self.steps),
            "meanings": ", ".join(map(_meaning, tensors)),
        }  # fmt: skip
        return Template(texts.DESCRIPTOR).substitute(words)


def _sized(path: str, text: bytes) -> bytes:
    """A kernel's file, for size where these networks spend little of their time."""
    return texts.FOR_SIZE + text if path.startswith(("softmax/", "pool/")) and path.endswith(".c") else text


def _narrowed(step: KernelStep, place: int) -> bool:
    return bool(step.kernel.arch & (DSP | MVE)) and SHIFTS.get(step.kernel.op) == place


def _number(value: int | float) -> str:
    """A literal of the very same value."""
    if isinstance(value, float):
        single = np.float32(value)
        if np.isinf(single):
            return "INFINITY" if single > 0 else "-INFINITY"
        return f"{float(single).hex()}f"
    return "INT32_MIN" if value == -(1 << 31) else str(int(value))


def _comment(text: str) -> str:
    """Text that may stand in a C comment."""
    return re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /").replace("/*", "/ *")


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype} {'x'.join(map(str, tensor.shape)) or 'scalar'}, {tensor.nbytes} bytes"


KINDS = {"int8": "EDGED_S8", "uint8": "EDGED_U8", "float32": "EDGED_F32"}


def _meaning(tensor: Tensor) -> str:
    """An edged_end of program.h."""
    quant = tensor.quantization
    known = quant is not None and len(quant.scales) == 1
    if tensor.dtype not in KINDS or not (known or tensor.dtype == "float32"):
        return "{EDGED_OTHER, 0, 0}"
    scale, zero = (quant.scales[0], quant.zero_point) if quant is not None and known else (1.0, 0)
    return f"{{{KINDS[tensor.dtype]}, {_number(scale)}, {zero}}}"


def write(generated: Generated, folder: Path) -> Sequence[str]:
    """Writes the files below `folder`; their names."""
    for path, text in generated.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text)
    return sorted(generated.files)
