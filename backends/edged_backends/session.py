"""Running a packed program: kernel parts in one C call each, the rest on arrays over the same arena.

A Frame is the working memory of one run at a time. A program without Python steps is one C call, and this module adds nothing
to it but the choice of a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edged.errors import BackendError, EdgedError
from edged.graph.arena import ALIGN
from edged.graph.arrays import Array, constant, from_bytes, numpy_dtype, to_bytes
from edged.graph.model import Node, Tensor
from edged_backends import _kernels
from edged_backends.operands import Ref, Space
from edged_backends.packing import Packed, Run, address
from edged_backends.program import Program, PythonStep

Buffers = Sequence[memoryview]
Evaluate = Callable[[Node, Sequence["Array | None"]], Sequence[Array]]


class Frame:
    """Arena, variables and boxed values of one run; reused by the next. `evaluate` computes one node on arrays."""

    def __init__(self, program: Program, packed: Packed, evaluate: Evaluate, threads: int) -> None:
        self.program = program
        self.packed = packed
        self.evaluate = evaluate
        self.workspace = _kernels.Workspace(packed.native, threads)
        self.memory: Array = np.frombuffer(memoryview(self.workspace), np.uint8)
        self.boxes: dict[Tensor, Array] = {}
        self._fixed: dict[Tensor, Array] = {}
        self.reset()

    def reset(self) -> None:
        """Variables back to their first values: zero, which is the zero point of a quantised int8 one (as TFLite does)."""
        for tensor, ref in self.program.variables.items():
            self._bytes(ref, (), ())[:] = initial_byte(tensor)

    def save(self) -> dict[str, bytes]:
        """Variables by name."""
        return {t.name: self._bytes(ref, (), ()).tobytes() for t, ref in self.program.variables.items()}

    def restore(self, variables: Mapping[str, bytes]) -> None:
        """Sets the variables that are named and have the right size."""
        for tensor, ref in self.program.variables.items():
            value = variables.get(tensor.name)
            if value is not None and len(value) == ref.nbytes:
                self._bytes(ref, (), ())[:] = np.frombuffer(value, np.uint8)

    def run(self, inputs: Buffers, outputs: Buffers, pool: _kernels.Pool | None) -> None:
        """One run. Buffers are C-contiguous bytes of the program's inputs and outputs."""
        for part in self.packed.parts:
            self.part(part, inputs, outputs, pool)
        for index, tensor in enumerate(self.program.outputs):
            if tensor in self.boxes:
                self._deliver(tensor, outputs[index])

    def part(
        self, part: Run | PythonStep, inputs: Buffers, outputs: Buffers, pool: _kernels.Pool | None, times: Array | None = None
    ) -> None:
        """One part of the program. `times`: uint64 nanoseconds to add to, one per kernel step."""
        if isinstance(part, Run):
            self.workspace.run(inputs, outputs, pool, part.begin, part.end, times)
        else:
            self._step(part, inputs, outputs)

    def _step(self, step: PythonStep, inputs: Buffers, outputs: Buffers) -> None:
        arrays = [None if t is None else self._read(step, t, inputs, outputs) for t in step.node.inputs]
        try:
            results = self.evaluate(step.node, arrays)
        except EdgedError as error:
            raise BackendError(f"{step.where}: {error}") from error
        for tensor, result in zip(step.node.outputs, results, strict=True):
            self._write(step, tensor, result, inputs, outputs)

    def _read(self, step: PythonStep, tensor: Tensor, inputs: Buffers, outputs: Buffers) -> Array:
        ref = step.refs.get(tensor)
        if ref is None:
            return self._boxed(tensor)
        raw = self._bytes(ref, inputs, outputs)
        if tensor in step.shifted:
            raw = raw ^ np.uint8(0x80)
        return from_bytes(tensor.dtype, tensor.shape, memoryview(raw), tensor.name)

    def _boxed(self, tensor: Tensor) -> Array:
        if tensor.constant:
            if tensor not in self._fixed:
                self._fixed[tensor] = constant(tensor)
            return self._fixed[tensor]
        if tensor in self.boxes:
            return self.boxes[tensor]
        raise BackendError(f"{tensor.name} was read before it was computed")

    def _write(self, step: PythonStep, tensor: Tensor, result: Array, inputs: Buffers, outputs: Buffers) -> None:
        ref = step.refs.get(tensor)
        if ref is None:
            self.boxes[tensor] = result
            return
        if tuple(result.shape) != tensor.shape:
            raise BackendError(f"{step.where}: gave shape {tuple(result.shape)} for {tensor.name}, which the model says is {tensor.shape}")
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

    def _deliver(self, tensor: Tensor, output: memoryview) -> None:
        array = self.boxes[tensor]
        data = to_bytes(tensor.dtype, array)
        if len(data) != output.nbytes:
            raise BackendError(
                f"{tensor.name} has shape {tuple(array.shape)} in this run, which is {len(data)} bytes; the caller's buffer has {output.nbytes}",
                remedy="the size of this output depends on the input's values: give a buffer of that size",
            )
        output.cast("B")[:] = data


def initial_byte(tensor: Tensor) -> int:
    """What every byte of a variable is at first."""
    quantised_int8 = numpy_dtype(tensor.dtype) == np.int8 and tensor.quantization is not None
    return tensor.quantization.zero_point & 0xFF if quantised_int8 and tensor.quantization else 0
