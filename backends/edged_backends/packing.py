"""Program -> the extension's Program: steps, operands and params as the bytes that ext/program.c reads,
and constants in place.

(How weights are packed for a kernel's tile is the families' business; this is about the program.)
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np

from edged.graph.arena import ALIGN
from edged.graph.arrays import Array
from edged_backends import _kernels
from edged_backends.catalogue import Catalogue
from edged_backends.cost import parts_per_thread
from edged_backends.operands import Ref, Space, Value, anchor
from edged_backends.program import KernelStep, Program, PythonStep

_STEP = struct.Struct("=8I")
_OPERAND = struct.Struct("=IIQQ")
_NOWHERE = _OPERAND.pack(Space.NONE, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Run:
    """Kernel steps begin..end of the native program."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Packed:
    """A program ready to run: the native program, and its parts in order."""

    native: _kernels.Program
    parts: Sequence[Run | PythonStep]
    kernel_steps: Sequence[KernelStep]


@dataclass(frozen=True, slots=True)
class Tables:
    """A program as bytes, in the layout of ext/packed.h."""

    steps: bytes
    operands: bytes
    params: bytes
    spaces: bytes


def pack(program: Program, kernels: Catalogue) -> Packed:
    """Checks and packs. ValueError when a step contradicts its kernel's params struct or its spaces (a
    lowering rule is wrong)."""
    made = tables(program, kernels)
    blocks = tuple(share(block) for block in program.constants)
    program.constants = blocks
    native = _kernels.Program(made.steps, made.operands, made.params, made.spaces, blocks)
    return Packed(native, tuple(_parts(program)), _kernel_steps(program))


def tables(program: Program, kernels: Catalogue) -> Tables:
    """The kernel steps as bytes; the reference's steps are not among them."""
    steps, operands, params = bytearray(), bytearray(), bytearray()
    for step in _kernel_steps(program):
        rounds = max(parts_per_thread(call.kernel.op, call.work, kernels) for call in step.calls)
        for call in step.calls:
            first, at = len(operands) // _OPERAND.size, len(params)
            params += _params(call, kernels)
            for ref in call.operands:
                operands += _operand(ref, program.offsets)
            where = call.kernel.index, at, first, len(call.operands)
            steps += _STEP.pack(*where, call.units, call.scratch, rounds, call.block)
    return Tables(bytes(steps), bytes(operands), bytes(params), _spaces(program))


def _kernel_steps(program: Program) -> list[KernelStep]:
    return [step for step in program.steps if isinstance(step, KernelStep)]


def _params(step: KernelStep, kernels: Catalogue) -> bytes:
    layout = kernels.layout(step.kernel.op)
    given = {**step.params, "none": 0}
    try:
        return b"".join(struct.pack("=" + kind, given[name]) for name, kind in layout)
    except struct.error as error:
        raise ValueError(f"{step.where}: params of {step.kernel.name} {step.params}: {error}") from None


def _operand(ref: Ref | None, offsets: Mapping[Value, int]) -> bytes:
    if ref is None:
        return _NOWHERE
    space, index, offset = address(ref, offsets)
    return _OPERAND.pack(space, index, offset, ref.nbytes)


def address(ref: Ref, offsets: Mapping[Value, int]) -> tuple[Space, int, int]:
    """(space, index, byte offset) of an operand, once places are known."""
    ref = anchor(ref)
    value = ref.value
    if value.space is Space.ARENA:
        return value.space, 0, offsets[value] + ref.offset
    if value.space is Space.VARIABLE:
        return value.space, 0, value.index + ref.offset
    return value.space, value.index, ref.offset


def _spaces(program: Program) -> bytes:
    inputs = [0 if t in program.boxed else t.nbytes for t in program.inputs]
    outputs = [0 if t in program.boxed else t.nbytes for t in program.outputs]
    numbers = [
        program.arena_bytes,
        program.variable_bytes,
        program.scratch_bytes,
        len(inputs),
        *inputs,
        len(outputs),
        *outputs,
    ]
    return struct.pack(f"={len(numbers)}Q", *numbers)


def _parts(program: Program) -> list[Run | PythonStep]:
    parts: list[Run | PythonStep] = []
    count = 0
    for step in program.steps:
        if isinstance(step, PythonStep):
            parts.append(step)
            continue
        if parts and isinstance(parts[-1], Run):
            parts[-1] = Run(parts[-1].begin, count + 1)
        else:
            parts.append(Run(count, count + 1))
        count += 1
    return parts


# ---- constants ----

_blocks: WeakValueDictionary[tuple[int, bytes], Array] = WeakValueDictionary()
_lock = Lock()


def share(block: Array) -> Array:
    """The same bytes at a 64-byte boundary, once per process: sessions and versions of a model that hold
    equal constants share them.

    Bytes of a mapped file that already lie so are used where they are.
    """
    if block.ctypes.data % ALIGN == 0 and not block.flags.owndata and not block.flags.writeable:
        return block
    key = (block.nbytes, hashlib.blake2b(block.data, digest_size=16).digest())
    with _lock:
        found = _blocks.get(key)
        if found is None:
            found = aligned(block.nbytes)
            found[:] = block
            found.flags.writeable = False
            _blocks[key] = found
    return found


def aligned(nbytes: int) -> Array:
    """Uninitialised bytes that start at a multiple of 64."""
    room = np.empty(nbytes + ALIGN, np.uint8)
    start = -room.ctypes.data % ALIGN
    return room[start : start + nbytes]
