"""What a lowering rule works with: it turns nodes into steps over values that have no address yet.

A rule asks where tensors live (`ref`), adds constants in the kernel's packing (`const`), working memory
(`temp`) and steps. This module knows no operator and no address: the rules of `lower/` know the operators,
`assemble` gives addresses.

Quantised uint8 tensors are in int8 form everywhere inside a program (value xor 0x80, zero point - 128);
rules only ever see that form."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edged.backend import Subgraph
from edged.errors import UnsupportedError
from edged.graph.arrays import Array, constant, to_bytes
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.spec import quantised
from edged_backends.catalogue import Catalogue, KernelRow
from edged_backends.choices import Choice, Option, choose
from edged_backends.cost import PARALLEL_NS, step_ns
from edged_backends.operands import Ref, Space, Value, anchor
from edged_backends.program import KernelStep, PythonStep

Mark = tuple[int, int, int, int, int, int]


class RefusedError(UnsupportedError):
    """A rule asked for something that a program cannot hold; the node falls back with this reason."""


@dataclass(frozen=True, slots=True)
class Quant:
    """A tensor as the program sees it. Per tensor: `scale` and `zero_point`; per channel: `scales`,
    `zero_points` along `axis`."""

    dtype: DType
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0

    @property
    def scale(self) -> float:
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        return self.zero_points[0] if self.zero_points else 0


@dataclass
class Lowering:
    """A program in the making. `threads` and `max_arena_bytes` (0: no limit) are for rules that choose
    between algorithms."""

    kernels: Catalogue
    threads: int = 1
    max_arena_bytes: int = 0
    steps: list[KernelStep | PythonStep] = field(default_factory=list)
    constants: list[Array] = field(default_factory=list)
    values: dict[Tensor, Ref] = field(default_factory=dict)
    boxed: frozenset[Tensor] = frozenset()
    subgraph: Subgraph | None = None
    node: Node | None = None
    macs: int = 0
    tuned: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    forced: Mapping[str, str] = field(default_factory=dict)
    choices: list[Choice] = field(default_factory=list)
    resources: dict[str, Ref] = field(default_factory=dict)
    initial: list[Node] = field(default_factory=list)
    variable_bytes: int = 0
    _shared: dict[Hashable, Ref] = field(default_factory=dict)
    _outside: dict[Tensor, Ref] = field(default_factory=dict)
    _placed: list[Value] = field(default_factory=list)

    # ---- what rules ask ----

    def ref(self, tensor: Tensor) -> Ref:
        """Where the tensor's value is: C-contiguous, in internal form. Constants appear as they are in the
        file.

        RefusedError when the tensor has no place in a program (its size is known only at run time, it
        holds strings)."""
        found = self.values.get(tensor)
        if found is None:
            found = self._place(tensor)
            self.values[tensor] = found
        return found

    def const(self, array: Array, key: Hashable = None) -> Ref:
        """A constant, 64-byte aligned; the same `key` gives the same bytes once."""
        if key is not None and key in self._shared:
            return self._shared[key]
        block = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.constants.append(block)
        made = Ref(Value(Space.CONSTANT, block.nbytes, len(self.constants) - 1), 0, block.nbytes)
        if key is not None:
            self._shared[key] = made
        return made

    def temp(self, nbytes: int) -> Ref:
        """Arena memory that lives only during the steps of this node that name it."""
        return Ref(Value(Space.ARENA, nbytes, name="temp"), 0, nbytes)

    def step(
        self,
        op: str,
        params: Mapping[str, int | float],
        operands: Sequence[Ref | None],
        *,
        units: int,
        scratch: int = 0,
        why: str = "",
        writes: int = 1,
        inplace: int | None = None,
        work: int = 0,
        row: KernelRow | None = None,
    ) -> None:
        """One kernel call.

        `params` by field name of the op's params struct, every field given. The first `writes` operands
        are written, the others read. `scratch`: bytes per thread. `inplace`: index of an input operand
        whose memory the first output may take over when nobody reads it later (elementwise kernels).
        `work`: multiply-accumulates or comparable element operations, for deciding on threads (default:
        the node's MACs or the operands' bytes). `row` overrules the catalogue's choice of kernel (an
        algorithm that was measured to be better). `why` is shown by `edged plan`."""
        chosen = row or self.kernels.pick(op)
        if chosen is None:
            raise RefusedError(f"no kernel for {op} on this CPU")
        self._check_params(op, params)
        if units <= 0:
            return
        where = self.node.where if self.node else op
        self.steps.append(
            KernelStep(
                chosen, dict(params), tuple(operands), units, scratch, why=why, where=where,
                writes=writes, inplace=inplace, work=work or self._work(operands),
            )
        )  # fmt: skip

    def value(self, tensor: Tensor) -> Array | None:
        """The constant's array in internal form (quantised uint8 as int8), or None when it is no constant."""
        if not tensor.constant or tensor.sparsity is not None:
            return None
        array = constant(tensor)
        return (array ^ np.uint8(0x80)).view(np.int8) if self.is_shifted(tensor) else array

    def internal(self, tensor: Tensor) -> Quant:
        """dtype and quantisation as the program sees them."""
        q = tensor.quantization
        if q is None or not q.scales:
            return Quant(tensor.dtype)
        points = q.zero_points or (0,)
        if self.is_shifted(tensor):
            return Quant(DType.INT8, q.scales, tuple(z - 128 for z in points), q.axis)
        return Quant(tensor.dtype, q.scales, points, q.axis)

    def alias(self, output: Tensor, input: Tensor) -> None:
        """The output is the same bytes as the input (reshape, squeeze): no step."""
        ref = self.ref(input)
        if ref.nbytes != output.nbytes or self.is_shifted(output) != self.is_shifted(input):
            raise RefusedError(f"{output.name} and {input.name} are not the same bytes")
        self.values[output] = ref

    def threads_for(self, op: str, work: int) -> int:
        """How many threads a step of `op` with so much work is worth: all, or one when it is short."""
        return self.threads if step_ns(op, work, self.kernels) >= PARALLEL_NS else 1

    def view(self, output: Tensor, part: Ref) -> bool:
        """The output is a part of a value that is there already (a slice that lies in one piece): no step.

        False when that cannot be: the output has its place, or the value changes from run to run.
        """
        if output in self.values or output in self.boxed or part.nbytes != output.nbytes:
            return False
        if part.value.space not in (Space.ARENA, Space.INPUT):
            return False
        self.values[output] = part
        return True

    def place_inside(self, source: Ref, part: Ref) -> bool:
        """The source's value is computed as `part` of another one from the start (an input of a
        concatenation): no step.

        False when that cannot be: it is no value of its own in the arena, or is inside another one already.
        """
        value, owner = source.value, anchor(part).value
        whole = source.offset == 0 and source.nbytes == value.nbytes == part.nbytes
        free = value.space is Space.ARENA and value.parent is None and owner.space is Space.ARENA
        if not (whole and free) or owner is value:
            return False
        value.parent = part
        self._placed.append(value)
        return True

    def choose(self, key: str, options: Sequence[Option]) -> Choice:
        """The fastest option whose working memory fits `max_arena_bytes`: by measured time where `edged
        tune` left one, else as estimated.

        `key` says all that the time depends on (op, shapes, strides, threads): equal layers of any model
        share a measurement. The option with the least memory is taken when none fits. Pass `.chosen` to
        the node's own table of ways, `.why` to step()."""
        where = self.node.where if self.node else key
        made = choose(
            where, key, options, self.max_arena_bytes, self.tuned.get(key, {}), self.forced.get(key)
        )
        self.choices.append(made)
        return made

    def copy(self, output: Ref, input: Ref, why: str = "") -> None:
        """The same bytes at another place."""
        params = {f"{letter}{i}": 1 for letter in "nsd" for i in range(6)}
        params.update(n5=input.nbytes, source=0, target=0, size=1)
        if input.nbytes:
            self.step("move", params, [output, input], units=1, why=why)

    def resource(self, name: str, nbytes: int) -> Ref:
        """The resource variable `name`, which keeps its value from run to run. RefusedError when its size
        changes."""
        found = self.resources.get(name)
        if found is None:
            found = self.resources[name] = self._variable(name, nbytes)
        if found.nbytes != nbytes:
            raise RefusedError(
                f"resource variable {name} is used with {found.nbytes} and with {nbytes} bytes"
            )
        return found

    # ---- the rest of the planner ----

    @staticmethod
    def is_shifted(tensor: Tensor) -> bool:
        """True for a quantised uint8 tensor, which is int8 inside a program."""
        return tensor.dtype is DType.UINT8 and quantised(tensor)

    def declare(self, tensor: Tensor, ref: Ref) -> None:
        """A graph input as it arrives: turned into internal form by `_place` when first asked for."""
        self._outside[tensor] = ref

    def mark(self) -> Mark:
        """The present state, to return to when a rule refuses half-way."""
        counts = len(self.steps), len(self.constants), len(self.values), len(self.choices), len(self._placed)
        return *counts, self.variable_bytes

    def rollback(self, mark: Mark) -> None:
        """Forgets everything since `mark`."""
        steps, constants, values, choices, placed, self.variable_bytes = mark
        while len(self._placed) > placed:
            self._placed.pop().parent = None
        del self.steps[steps:], self.constants[constants:], self.choices[choices:]
        while len(self.values) > values:
            self.values.popitem()
        for key in [k for k, ref in self._shared.items() if ref.value.index >= constants]:
            del self._shared[key]

    def peek(self, tensor: Tensor) -> tuple[Ref, bool]:
        """Where the tensor is without turning a graph input into internal form, and whether it is in int8
        form there."""
        if tensor not in self.values and tensor in self._outside:
            return self._outside[tensor], False
        return self.ref(tensor), self.is_shifted(tensor)

    def _place(self, tensor: Tensor) -> Ref:
        if tensor in self.boxed:
            raise RefusedError(f"{tensor.name} has a size that is known only at run time")
        if tensor.dtype.bits == 0:
            raise RefusedError(f"{tensor.name} holds {tensor.dtype} elements")
        if tensor.sparsity is not None:
            raise RefusedError(f"{tensor.name} is stored sparse")
        if tensor.constant:
            return self.const(self._constant_bytes(tensor), ("tensor", tensor))
        if tensor in self._outside:
            return self._enter(tensor, self._outside[tensor])
        if tensor.variable:
            return self._variable(tensor.name, tensor.nbytes)
        return Ref(Value(Space.ARENA, tensor.nbytes, name=tensor.name), 0, tensor.nbytes)

    def _constant_bytes(self, tensor: Tensor) -> Array:
        if tensor.dtype.is_sub_byte or tensor.dtype is DType.BFLOAT16:
            return np.frombuffer(to_bytes(tensor.dtype, constant(tensor)), np.uint8)
        array = self.value(tensor)
        assert array is not None
        return array

    def _variable(self, name: str, nbytes: int) -> Ref:
        offset = self.variable_bytes
        self.variable_bytes += -(-nbytes // 64) * 64
        return Ref(Value(Space.VARIABLE, nbytes, offset, name), 0, nbytes)

    def _enter(self, tensor: Tensor, outside: Ref) -> Ref:
        if not self.is_shifted(tensor) or tensor.nbytes == 0:
            return outside
        inside = Ref(Value(Space.ARENA, tensor.nbytes, name=tensor.name), 0, tensor.nbytes)
        self.shift(inside, outside, f"{tensor.name} enters as int8")
        return inside

    def shift(self, output: Ref, input: Ref, why: str) -> None:
        """uint8 <-> int8 form at the border of the program: every byte xor 0x80."""
        node, self.node = self.node, None
        try:
            self.step("xor80", {}, [output, input], units=output.nbytes, why=why, inplace=1)
        finally:
            self.node = node

    def _work(self, operands: Sequence[Ref | None]) -> int:
        moved = sum(
            ref.nbytes for ref in operands if ref is not None and ref.value.space is not Space.CONSTANT
        )
        return max(moved, self.macs)

    def _check_params(self, op: str, params: Mapping[str, int | float]) -> None:
        want = {name for name, _ in self.kernels.layout(op) if name != "none"}
        if want != set(params):
            missing, surplus = sorted(want - set(params)), sorted(set(params) - want)
            raise ValueError(f"params of {op}: missing {missing}, not in its struct {surplus}")
