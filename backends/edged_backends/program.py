"""A program: the steps that a subgraph was lowered to, over one planned arena with packed constants.

The same data serves twice: `cpu` packs it for the C extension, which runs it in one call, and the
microcontroller backend prints it as C. Nothing here runs anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edged.graph.arrays import Array
from edged.graph.model import Node, Tensor
from edged_backends.catalogue import KernelRow
from edged_backends.choices import Choice
from edged_backends.operands import Ref, Value


@dataclass(slots=True)
class KernelStep:
    """One call of a kernel. The first `writes` operands are written, the others read.

    A pair has a `follower`, which reads this step's first operand as its second one: `block` units of this
    step, then `block` units of the follower, and so on (see `pairs`)."""

    kernel: KernelRow
    params: Mapping[str, int | float]
    operands: tuple[Ref | None, ...]
    units: int
    scratch: int = 0
    why: str = ""
    where: str = ""
    writes: int = 1
    inplace: int | None = None
    work: int = 0
    follower: KernelStep | None = None
    block: int = 0

    @property
    def calls(self) -> Sequence[KernelStep]:
        """The kernels that this step runs."""
        return (self,) if self.follower is None else (self, self.follower)

    @property
    def name(self) -> str:
        return " + ".join(call.kernel.name for call in self.calls)

    @property
    def refs(self) -> Sequence[Ref | None]:
        """The operands of all its kernels."""
        return [ref for call in self.calls for ref in call.operands]

    @property
    def room(self) -> int:
        """Scratch with what a pair keeps there between its kernels (ext/pair.h)."""
        most = max(call.scratch for call in self.calls)
        between = self.operands[0]
        if self.follower is None or between is None:
            return most
        return -(-most // 64) * 64 + between.nbytes // self.units * self.block


@dataclass(slots=True)
class PythonStep:
    """A node that no kernel computes: the NumPy reference does, on arrays.

    `refs`: where its tensors are; one that is missing there is a constant, or is kept as an array beside
    the arena because its size is known only at run time. `shifted`: those that are in int8 form there."""

    node: Node
    refs: Mapping[Tensor, Ref]
    shifted: frozenset[Tensor]
    why: str = ""

    @property
    def where(self) -> str:
        return self.node.where


@dataclass
class Program:
    """Steps in order, where each value lies, and what the program needs.

    `offsets` gives the byte offset of every ARENA value. `constants` are the blocks that CONSTANT values
    index. `lower_bound` is the least arena any placement could have (the largest sum of values alive at
    once). `initial` nodes run once, before the first run, and give `resources` (resource variables by
    name) their values."""

    steps: Sequence[KernelStep | PythonStep]
    offsets: Mapping[Value, int]
    constants: Sequence[Array]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    variables: Mapping[Tensor, Ref]
    arena_bytes: int
    variable_bytes: int
    lower_bound: int
    boxed: frozenset[Tensor] = field(default_factory=frozenset)
    resources: Mapping[str, Ref] = field(default_factory=dict)
    initial: Sequence[Node] = ()
    choices: Sequence[Choice] = ()

    @property
    def constant_bytes(self) -> int:
        return sum(block.nbytes for block in self.constants)

    @property
    def scratch_bytes(self) -> int:
        """The largest scratch of any step, per thread."""
        return max((s.room for s in self.steps if isinstance(s, KernelStep)), default=0)

    @property
    def fallbacks(self) -> Sequence[PythonStep]:
        return [s for s in self.steps if isinstance(s, PythonStep)]
