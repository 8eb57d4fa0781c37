"""Where a program's values lie on a board: one arena for values, inputs, outputs and scratch together; a
step's output may reach into its input (`overlap`).

On a gateway inputs and outputs are the client's memory. Here they are a part of the arena like any other
value: an input's place is free again after its last reader, an output's until its first writer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edged.errors import BackendError
from edged.graph.arena import Block, plan
from edged.graph.model import Tensor
from edged_backends.mcu.overlap import distance
from edged_backends.operands import Ref, Space, Value, anchor
from edged_backends.program import KernelStep, Program

ALIGN = 16
MOVES = 400
"""Changes that are tried to a plan: a board's RAM is worth a second."""
_PLANNED = (Space.ARENA, Space.INPUT, Space.OUTPUT)


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets in the arena: of values, and of each step's scratch (by the step's place)."""

    offsets: Mapping[Value, int]
    scratch: Mapping[int, int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arena_bytes: int

    def at(self, ref: Ref) -> int:
        """The offset of an operand in the arena."""
        ref = anchor(ref)
        return self.offsets[ref.value] + ref.offset


def kernel_steps(program: Program) -> list[KernelStep]:
    """The steps; BackendError names the first that no kernel computes."""
    made = []
    for step in program.steps:
        if not isinstance(step, KernelStep):
            why = step.why or "there is no kernel for it"
            raise BackendError(f"{step.where} cannot be generated as C: {why}")
        made.append(step)
    return made


def lay_out(program: Program) -> Layout:
    """Plans the arena anew."""
    steps = kernel_steps(program)
    lives = _lives(steps)
    owner = _owners(steps, lives)
    spans: dict[Value, tuple[int, int]] = {}
    for value, (first, end) in lives.items():
        root = _root(owner, value)
        a, b = spans.get(root, (first, end))
        spans[root] = min(a, first), max(b, end)
    below = _below(steps, lives, owner, list(spans))
    rooms = {i: step.room for i, step in enumerate(steps) if step.room}
    blocks = [Block(max(v.nbytes, 1), *span) for v, span in spans.items()]
    blocks += [Block(nbytes, i, i) for i, nbytes in rooms.items()]
    made = plan(blocks, ALIGN, below, MOVES)
    places = dict(zip([*spans, *rooms], made.offsets, strict=True))
    offsets = {value: places[_root(owner, value)] for value in lives}
    ends = {(v.space, v.index): at for v, at in offsets.items()}
    spare = made.total
    inputs, spare = _ends(program.inputs, ends, Space.INPUT, spare)
    outputs, spare = _ends(program.outputs, ends, Space.OUTPUT, spare)
    return Layout(offsets, {i: places[i] for i in rooms}, inputs, outputs, -(-spare // 16) * 16)


def _ends(
    tensors: Sequence[Tensor], places: Mapping[tuple[Space, int], int], space: Space, spare: int
) -> tuple[tuple[int, ...], int]:
    """Offsets of inputs or outputs, and where the arena ends; what no step touches gets a place behind all
    others."""
    found = []
    for index, tensor in enumerate(tensors):
        at = places.get((space, index))
        if at is None:
            at, spare = spare, spare + -(-tensor.nbytes // 16) * 16
        found.append(at)
    return tuple(found), spare


def _lives(steps: list[KernelStep]) -> dict[Value, tuple[int, int]]:
    """First and last step of every value in the arena; inputs live from the start, outputs to the end."""
    lives: dict[Value, tuple[int, int]] = {}
    for index, step in enumerate(steps):
        for ref in step.refs:
            value = None if ref is None else anchor(ref).value
            if value is None or value.space not in _PLANNED:
                continue
            first = lives[value][0] if value in lives else 0 if value.space is Space.INPUT else index
            lives[value] = first, len(steps) if value.space is Space.OUTPUT else index
    return lives


def _owners(steps: list[KernelStep], lives: Mapping[Value, tuple[int, int]]) -> dict[Value, Value]:
    """value -> the value whose memory it takes over: of an elementwise step whose input dies there."""
    owner: dict[Value, Value] = {}
    for index, step in enumerate(steps):
        last = step.calls[-1]
        if last.inplace is None:
            continue
        made, given = last.operands[0], last.operands[last.inplace]
        if made is None or given is None or made.value not in lives or given.value not in lives:
            continue
        if made.value is given.value or made.value in owner:
            continue
        whole = given.nbytes == given.value.nbytes and made.nbytes == made.value.nbytes <= given.nbytes
        alone = sum(ref is not None and ref.value is given.value for ref in step.refs) == 1
        if whole and alone and lives[made.value][0] == index == lives[given.value][1]:
            owner[made.value] = given.value
    return owner


def _below(
    steps: list[KernelStep],
    lives: Mapping[Value, tuple[int, int]],
    owner: Mapping[Value, Value],
    roots: list[Value],
) -> dict[tuple[int, int], int]:
    """Places in `roots` of an output and of the input that it may reach into -> how far below it begins."""
    found: dict[tuple[int, int], int] = {}
    ends = {root: max(lives[v][1] for v in lives if _root(owner, v) is root) for root in roots}
    for index, step in enumerate(steps):
        apart = distance(step)
        if apart is None:
            continue
        made, given = step.operands[0], step.operands[1]
        if made is None or given is None or made.value not in lives or given.value not in lives:
            continue
        root = _root(owner, given.value)
        whole = made.nbytes == made.value.nbytes and given.nbytes == given.value.nbytes
        users = [r for r in step.refs if r is not None and anchor(r).value in lives]
        alone = sum(_root(owner, anchor(r).value) is root for r in users) == 1
        fresh = made.value not in owner and lives[made.value][0] == index
        if whole and alone and fresh and ends[root] == index:
            found[roots.index(made.value), roots.index(root)] = apart
    return found


def _root(owner: Mapping[Value, Value], value: Value) -> Value:
    while value in owner:
        value = owner[value]
    return value
