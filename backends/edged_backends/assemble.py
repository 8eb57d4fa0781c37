"""Subgraph -> Program: walks the nodes, lets the rules lower them, gives every value its place.

A node without a rule, or whose rule refuses, becomes a step of the NumPy reference in the same program,
with the reason. Nothing here knows an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edged.backend import Subgraph
from edged.errors import BackendError, EdgedError
from edged.graph.arena import Block, plan
from edged.graph.arrays import Array
from edged.graph.evaluate import constant_value
from edged.graph.model import Graph, Node, Shape, Tensor
from edged.graph.ops import table
from edged.graph.shapes import node_macs
from edged_backends import pairs
from edged_backends.catalogue import Catalogue
from edged_backends.chains import chains, match
from edged_backends.choices import Choice
from edged_backends.lower import groups, rules
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.operands import Ref, Space, Value, anchor
from edged_backends.program import KernelStep, Program, PythonStep

NOTHING: Mapping[str, Any] = MappingProxyType({})
DRIVEN = frozenset({"if", "while", "call_once", "var_handle", "read_variable", "assign_variable"})
"""Nodes that `control` computes, with or without a row in the op table."""


def assemble(
    subgraph: Subgraph,
    kernels: Catalogue,
    *,
    threads: int = 1,
    max_arena_bytes: int = 0,
    tuned: Mapping[str, Mapping[str, float]] = NOTHING,
    forced: Mapping[str, str] = NOTHING,
    l2_bytes: int = 0,
) -> Program:
    """The program of a subgraph. BackendError for a node that neither a kernel nor the reference can compute.

    `tuned`: measured nanoseconds by layer key and option; `forced`: the option to take by layer key (for
    measuring); `l2_bytes`: of a core's L2 cache, 0 where no two steps are to be run as a pair."""
    graph = subgraph.graph
    lowering = Lowering(kernels, threads, max_arena_bytes, subgraph=subgraph, tuned=tuned, forced=forced)
    lowering.boxed = boxed_tensors(graph)
    for index, tensor in enumerate(graph.inputs):
        lowering.declare(tensor, Ref(Value(Space.INPUT, tensor.nbytes, index, tensor.name), 0, tensor.nbytes))
    for chain in chains(graph, [pattern for pattern, _ in groups()]):
        _lower_chain(lowering, chain)
    _bind_outputs(lowering, graph)
    return _paired(lowering, graph, l2_bytes) if l2_bytes else _placed(lowering, graph)


# ---- nodes ----


def _lower_chain(lowering: Lowering, nodes: Sequence[Node]) -> None:
    while nodes:
        taken = next(
            (
                len(p)
                for p, rule in groups()
                if match(p, nodes) and _try_group(lowering, rule, nodes[: len(p)])
            ),
            0,
        )
        if not taken:
            _lower_node(lowering, nodes[0])
        nodes = nodes[taken or 1 :]


def _try_group(lowering: Lowering, rule: object, nodes: Sequence[Node]) -> bool:
    lowering.macs = sum(node_macs(node) for node in nodes)
    return _attempt(lowering, rule, nodes, nodes[-1]) is None


def _lower_node(lowering: Lowering, node: Node) -> None:
    rule = rules().get(node.kind)
    lowering.macs = node_macs(node)
    reason = "there is no kernel for this op" if rule is None else _attempt(lowering, rule, node, node)
    if reason is not None:
        _fall_back(lowering, node, reason)


def _attempt(lowering: Lowering, rule: object, subject: object, node: Node) -> str | None:
    """None when the rule lowered its subject, else why not; nothing of a refused attempt remains."""
    assert callable(rule)
    nodes = (subject,) if isinstance(subject, Node) else subject
    assert isinstance(nodes, Sequence)
    if any(t in lowering.boxed for n in nodes for t in (*n.inputs, *n.outputs)) and node.kind not in DRIVEN:
        return "the size of a tensor is known only in a run"
    if any(t.elements == 0 for t in node.outputs) and _weighted(node):
        return "an empty output: there is nothing to compute"
    mark = lowering.mark()
    lowering.node = node
    try:
        reason = rule(lowering, subject)
    except RefusedError as error:
        reason = str(error)
    finally:
        lowering.node = None
    if reason is not None:
        lowering.rollback(mark)
    assert reason is None or isinstance(reason, str)
    return reason


def _weighted(node: Node) -> bool:
    """True for ops whose kernels share their work out by rows and columns, of which there must be some."""
    spec = table().get(node.kind)
    return spec is not None and spec.macs is not None


def _fall_back(lowering: Lowering, node: Node, reason: str) -> None:
    if node.kind not in table() and node.kind not in DRIVEN:
        raise BackendError(f"{node.where}: {reason}, and it has no reference semantics either")
    refs: dict[Tensor, Ref] = {}
    shifted: set[Tensor] = set()
    for tensor in (*node.inputs, *node.outputs):
        if tensor is None or tensor.constant or tensor in lowering.boxed or tensor.dtype.bits == 0:
            continue
        refs[tensor], internal = lowering.peek(tensor)
        if internal:
            shifted.add(tensor)
    lowering.steps.append(PythonStep(node, refs, frozenset(shifted), reason))


def boxed_tensors(graph: Graph) -> frozenset[Tensor]:
    """Tensors whose size only a run knows, or that hold strings and the like: they have no place in an
    arena."""
    known: dict[Tensor, Shape] = {t: t.shape for t in graph.tensors if t.constant or t.variable}
    known.update((t, t.shape) for t in graph.inputs if t.dtype.bits > 0)
    for node in graph.nodes:
        for tensor, shape in zip(node.outputs, _inferred(node, known), strict=False):
            if shape is not None and tuple(shape) == tensor.shape and tensor.dtype.bits > 0:
                known[tensor] = tensor.shape
    return frozenset(t for t in graph.tensors if t not in known)


def _inferred(node: Node, known: dict[Tensor, Shape]) -> Sequence[Shape | None]:
    def value(index: int) -> Array | None:
        tensor = node.optional(index)
        fixed = tensor is not None and tensor.constant and tensor.dtype.bits > 0
        return constant_value(tensor) if fixed and tensor is not None else None

    if node.kind in DRIVEN:  # the file's word, which every run checks
        return [t.shape if t.rank_known and not t.symbolic else None for t in node.outputs]
    spec = table().get(node.kind)
    if spec is None:
        return [t.shape if t.rank_known and node.kind in rules() else None for t in node.outputs]
    try:
        return spec.infer(node, [known.get(t) if t is not None else None for t in node.inputs], value)
    except EdgedError as error:
        raise BackendError(f"{node.where}: {error}") from error


# ---- outputs ----


def _bind_outputs(lowering: Lowering, graph: Graph) -> None:
    """Values that the graph returns move from the arena into the caller's buffers; what cannot move is
    copied at the end."""
    lowering.macs = 0
    turned: list[tuple[Ref, Tensor]] = []
    for index, tensor in enumerate(graph.outputs):
        if tensor in lowering.boxed or tensor.dtype.bits == 0:
            continue
        target = Ref(Value(Space.OUTPUT, tensor.nbytes, index, tensor.name), 0, tensor.nbytes)
        ref, internal = lowering.peek(tensor)
        if _movable(ref):
            ref.value.space, ref.value.index = Space.OUTPUT, index
            if internal:
                turned.append((ref, tensor))
        elif internal:
            lowering.shift(target, ref, f"{tensor.name} leaves as uint8")
        else:
            lowering.copy(target, ref, f"{tensor.name} is returned as it is")
    for ref, tensor in turned:
        lowering.shift(ref, ref, f"{tensor.name} leaves as uint8")


def _movable(ref: Ref) -> bool:
    value = ref.value
    return (
        value.space is Space.ARENA and value.parent is None and ref.offset == 0 and ref.nbytes == value.nbytes
    )


# ---- pairs ----


def _paired(lowering: Lowering, graph: Graph, l2_bytes: int) -> Program:
    """The program with the pairs that pay. While its arena is over the limit, other ways are tried, the
    largest tensors first, and kept where the arena does not grow: a pair needs no room between its kernels,
    but holds the first one's input and the second one's output at once."""
    limit, steps, others = lowering.max_arena_bytes, lowering.steps, lowering.choices
    limits = pairs.Limits(lowering.threads, l2_bytes, lowering.tuned, lowering.forced)
    found = pairs.find(steps, limits)

    def made(ways: Mapping[int, Choice]) -> Program:
        lowering.steps = pairs.join(steps, found, ways)
        lowering.choices = [*others, *ways.values()]
        return _placed(lowering, graph)

    chosen = {pair.index: pairs.decide(pair, limits) for pair in found}
    program = made(chosen)
    for pair in sorted(found, key=lambda pair: -pair.between.nbytes):
        if not limit or program.arena_bytes <= limit or chosen[pair.index].forced:
            continue
        other = {**chosen, pair.index: pairs.swapped(chosen[pair.index], program.arena_bytes, limit)}
        trial = made(other)
        if trial.arena_bytes <= program.arena_bytes:
            chosen, program = other, trial
        else:
            program = made(chosen)
    return program


# ---- places ----


@dataclass(slots=True)
class _Life:
    value: Value
    first: int
    last: int


def _placed(lowering: Lowering, graph: Graph) -> Program:
    lives = _lives(lowering)
    owner = _shared_places(lowering, lives)
    roots: dict[Value, _Life] = {}
    for value, life in lives.items():
        root = _root(owner, value)
        joined = roots.setdefault(root, _Life(root, life.first, life.last))
        joined.first, joined.last = min(joined.first, life.first), max(joined.last, life.last)
    made = plan([Block(life.value.nbytes, life.first, life.last) for life in roots.values()])
    at = dict(zip(roots, made.offsets, strict=True))
    return Program(
        steps=lowering.steps,
        offsets={value: at[_root(owner, value)] for value in lives},
        constants=lowering.constants,
        inputs=graph.inputs,
        outputs=graph.outputs,
        variables={t: ref for t, ref in lowering.values.items() if ref.value.space is Space.VARIABLE},
        arena_bytes=made.total,
        variable_bytes=lowering.variable_bytes,
        lower_bound=made.lower_bound,
        boxed=lowering.boxed,
        resources=lowering.resources,
        initial=lowering.initial,
        choices=lowering.choices,
    )


def _lives(lowering: Lowering) -> dict[Value, _Life]:
    lives: dict[Value, _Life] = {}
    for index, step in enumerate(lowering.steps):
        refs = step.refs if isinstance(step, KernelStep) else step.refs.values()
        for ref in refs:
            value = None if ref is None else anchor(ref).value
            if value is not None and value.space is Space.ARENA:
                lives.setdefault(value, _Life(value, index, index)).last = index
    return lives


def _shared_places(lowering: Lowering, lives: dict[Value, _Life]) -> dict[Value, Value]:
    """value -> the value whose memory it takes over, for elementwise steps whose input dies there."""
    owner: dict[Value, Value] = {}
    for index, step in enumerate(lowering.steps):
        if not isinstance(step, KernelStep):
            continue
        last = step.calls[-1]
        if last.inplace is None:
            continue
        output, source = last.operands[0], last.operands[last.inplace]
        if output is None or source is None or output.value is source.value:
            continue
        born, dies = lives.get(output.value), lives.get(source.value)
        if born is None or dies is None or born.first != index or dies.last != index:
            continue
        whole = source.nbytes == source.value.nbytes and output.nbytes == output.value.nbytes
        alone = sum(ref is not None and ref.value is source.value for ref in step.refs) == 1
        if whole and alone and output.nbytes <= source.nbytes:
            owner[output.value] = source.value
    return owner


def _root(owner: dict[Value, Value], value: Value) -> Value:
    while value in owner:
        value = owner[value]
    return value
