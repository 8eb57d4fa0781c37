"""Running a packed program: kernel parts in one C call each, the rest on arrays over the same arena.

A Frame is the working memory of one run at a time. A program without Python steps is one C call, and this
module adds nothing to it but the choice of a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edged.errors import BackendError, EdgedError
from edged.graph.arena import ALIGN
from edged.graph.arrays import Array, from_bytes, to_bytes
from edged.graph.evaluate import Held, constant_value, initial, restore_held, save_held
from edged.graph.model import Node, Tensor
from edged.graph.ops import table
from edged_backends import _kernels
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref, Space
from edged_backends.packing import Packed, Run, address, aligned
from edged_backends.program import Program, PythonStep

Buffers = Sequence[memoryview]
_NOTHING = memoryview(bytearray())


@dataclass
class Memory:
    """What a session remembers beside the variables of its arena: resource variables, init graphs that
    have run, what ops hold without a tensor, and the working memory of called graphs (by index)."""

    resources: dict[str, Array] = field(default_factory=dict)
    initialised: set[int] = field(default_factory=set)
    held: Held = field(default_factory=dict)
    frames: dict[int, Frame] = field(default_factory=dict)

    def clear(self) -> None:
        """As if no run had been. Frames of called graphs go too: their variables start anew."""
        self.resources.clear()
        self.initialised.clear()
        self.held.clear()
        self.frames.clear()


Evaluate = Callable[[Node, Sequence["Array | None"], Memory], Sequence[Array]]


class Frame:
    """Arena, variables and boxed values of one run; reused by the next. `evaluate` computes one node on
    arrays."""

    def __init__(
        self, program: Program, packed: Packed, evaluate: Evaluate, threads: int, memory: Memory | None = None
    ) -> None:
        self.program = program
        self.packed = packed
        self.evaluate = evaluate
        self.workspace = _kernels.Workspace(packed.native, threads)
        self.remembered = memory or Memory()
        self.memory: Array = np.frombuffer(self.workspace.memory(), np.uint8)
        self.boxes: dict[Tensor, Array] = {}
        self._fixed: dict[Tensor, Array] = {}
        self._boxed_ends = [i for i, t in enumerate(program.outputs) if t in program.boxed]
        only_kernels = len(packed.parts) == 1 and isinstance(packed.parts[0], Run)
        self._whole = only_kernels and not self._boxed_ends and not program.initial
        self.fresh = True
        self.reset()

    def reset(self) -> None:
        """Variables back to their first values."""
        for tensor, ref in self.program.variables.items():
            raw = np.frombuffer(to_bytes(tensor.dtype, initial(tensor)), np.uint8)
            self._bytes(ref, (), ())[:] = raw ^ np.uint8(0x80) if Lowering.is_shifted(tensor) else raw
        for ref in self.program.resources.values():
            self._bytes(ref, (), ())[:] = 0
        self.fresh = True

    def save(self) -> dict[str, bytes]:
        """Variables by name."""
        if self.fresh:
            self._initialise()
        named = {name: self._bytes(ref, (), ()).tobytes() for name, ref in self._named()}
        return named | save_held(self.remembered.held)

    def restore(self, variables: Mapping[str, bytes]) -> None:
        """Sets the variables that are named and have the right size."""
        if self.fresh:
            self._initialise()
        for name, ref in self._named():
            value = variables.get(name)
            if value is not None and len(value) == ref.nbytes:
                self._bytes(ref, (), ())[:] = np.frombuffer(value, np.uint8)
        self.remembered.held.update(restore_held((s.node for s in self.program.fallbacks), variables))

    def _named(self) -> list[tuple[str, Ref]]:
        variables = [(t.name, ref) for t, ref in self.program.variables.items()]
        return [*variables, *((f"resource {name}", ref) for name, ref in self.program.resources.items())]

    def _initialise(self) -> None:
        """Lets the init graphs run, and takes over what they left in resource variables."""
        self.fresh = False
        for node in self.program.initial:
            self.evaluate(node, (), self.remembered)
        for name, ref in self.program.resources.items():
            value = self.remembered.resources.get(name)
            if value is not None and value.nbytes == ref.nbytes:
                self._bytes(ref, (), ())[:] = np.frombuffer(value.tobytes(), np.uint8)

    def run(self, inputs: Buffers, outputs: Buffers, pool: _kernels.Pool | None) -> None:
        """One run. Buffers are C-contiguous bytes of the program's inputs and outputs."""
        if self._whole:
            self.workspace.run(inputs, outputs, pool)
            return
        given = outputs
        if self.fresh:
            self._initialise()
        if self._boxed_ends:
            inputs, outputs = self._unboxed(inputs, outputs)
        for part in self.packed.parts:
            self.part(part, inputs, outputs, pool)
        for index in self._boxed_ends:
            self._deliver(self.program.outputs[index], given[index])

    def compute(self, arrays: Sequence[Array], pool: _kernels.Pool | None) -> list[Array]:
        """One run on arrays, for a graph that another one calls; sizes known only at run time may come in
        and go out."""
        program = self.program
        inputs = [
            _NOTHING if t in program.boxed else memoryview(to_bytes(t.dtype, a))
            for t, a in zip(program.inputs, arrays)
        ]
        for tensor, array in zip(program.inputs, arrays, strict=True):
            if tensor in program.boxed:
                self.boxes[tensor] = array
            elif tuple(array.shape) != tensor.shape:
                raise BackendError(
                    f"{tensor.name} has shape {tuple(array.shape)}, and the graph says {tensor.shape}"
                )
        sizes = [0 if t in program.boxed else t.nbytes for t in program.outputs]
        outputs = [memoryview(aligned(size).data) for size in sizes]
        if self.fresh:
            self._initialise()
        for part in self.packed.parts:
            self.part(part, inputs, outputs, pool)
        return [
            self._boxed(t) if t in program.boxed else from_bytes(t.dtype, t.shape, raw, t.name)
            for t, raw in zip(program.outputs, outputs, strict=True)
        ]

    def part(
        self,
        part: Run | PythonStep,
        inputs: Buffers,
        outputs: Buffers,
        pool: _kernels.Pool | None,
        times: Array | None = None,
    ) -> None:
        """One part of the program. `times`: uint64 nanoseconds to add to, one per kernel step."""
        if isinstance(part, Run):
            self.workspace.run(inputs, outputs, pool, part.begin, part.end, times)
        else:
            self._step(part, inputs, outputs)

    def _step(self, step: PythonStep, inputs: Buffers, outputs: Buffers) -> None:
        arrays = [None if t is None else self._read(step, t, inputs, outputs) for t in step.node.inputs]
        try:
            results = self.evaluate(step.node, arrays, self.remembered)
        except EdgedError as error:
            raise BackendError(f"{step.where}: {error}") from error
        written: list[Tensor] = list(step.node.outputs)
        spec = table().get(step.node.kind)
        if spec is not None and spec.stateful:  # the new values of its variables follow the outputs
            written += [t for t in step.node.inputs if t is not None and t.variable]
        for tensor, result in zip(written, results, strict=True):
            self._write(step, tensor, result, inputs, outputs)

    def _read(self, step: PythonStep, tensor: Tensor, inputs: Buffers, outputs: Buffers) -> Array:
        ref = step.refs.get(tensor)
        if ref is None:
            return self._boxed(tensor)
        raw = self._bytes(ref, inputs, outputs)
        if tensor in step.shifted:
            raw = raw ^ np.uint8(0x80)
        elif address(ref, self.program.offsets)[0] in (Space.INPUT, Space.OUTPUT):
            raw = raw.copy()  # a client may write to it meanwhile, and NumPy may look at a value twice
        return from_bytes(tensor.dtype, tensor.shape, raw.data, tensor.name)

    def _boxed(self, tensor: Tensor) -> Array:
        if tensor.constant:
            if tensor not in self._fixed:
                self._fixed[tensor] = constant_value(tensor)
            return self._fixed[tensor]
        if tensor in self.boxes:
            return self.boxes[tensor]
        raise BackendError(f"{tensor.name} was read before it was computed")

    def _write(
        self, step: PythonStep, tensor: Tensor, result: Array, inputs: Buffers, outputs: Buffers
    ) -> None:
        ref = step.refs.get(tensor)
        if ref is None:
            self.boxes[tensor] = result
            return
        if tuple(result.shape) != tensor.shape:
            raise BackendError(
                f"{step.where}: gave shape {tuple(result.shape)} for {tensor.name}, "
                f"which the model says is {tensor.shape}"
            )
        raw = np.frombuffer(to_bytes(tensor.dtype, result), np.uint8)
        self._bytes(ref, inputs, outputs)[:] = raw ^ np.uint8(0x80) if tensor in step.shifted else raw

    def _bytes(self, ref: Ref, inputs: Buffers, outputs: Buffers) -> Array:
        space, index, offset = address(ref, self.program.offsets)
        if space is Space.VARIABLE:
            offset += -(-self.program.arena_bytes // ALIGN) * ALIGN
        if space in (Space.ARENA, Space.VARIABLE):
            whole = self.memory
        elif space is Space.CONSTANT:
            whole = self.program.constants[index]
        else:
            whole = np.frombuffer(inputs[index] if space is Space.INPUT else outputs[index], np.uint8)
        return whole[offset : offset + ref.nbytes]

    def _unboxed(self, inputs: Buffers, outputs: Buffers) -> tuple[Buffers, Buffers]:
        """Buffers for the kernel parts, which know nothing of values whose size only a run knows."""
        ends = frozenset(self._boxed_ends)
        return inputs, [_NOTHING if index in ends else buffer for index, buffer in enumerate(outputs)]

    def _deliver(self, tensor: Tensor, output: memoryview) -> None:
        array = self.boxes[tensor]
        data = to_bytes(tensor.dtype, array)
        if len(data) != output.nbytes:
            raise BackendError(
                f"{tensor.name} has shape {tuple(array.shape)} in this run, which is {len(data)} bytes; "
                f"the caller's buffer has {output.nbytes}",
                remedy="its size depends on the input's values: give a buffer of that size",
            )
        output.cast("B")[:] = data
