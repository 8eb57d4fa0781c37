"""Checks of how nodes and tensors hang together. Rows of the table in `verify`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from edged.graph.calls import Call, called
from edged.graph.model import Graph, Model, Node, Tensor

if TYPE_CHECKING:
    from edged.graph.ops.spec import OpSpec

LEAST: Mapping[str, int] = dict.fromkeys(
    ("stride_w", "stride_h", "stride_d", "dilation_w_factor", "dilation_h_factor", "dilation_d_factor",
     "filter_width", "filter_height", "block_size", "num_splits"), 1,
)  # fmt: skip
"""Attributes that have a least value, whatever the op."""

_LSTM = (1, 5, 9, 10, 11, 12, 16, 17)
OPTIONAL: Mapping[str, frozenset[int]] = {
    "svdf": frozenset({3}),
    "lstm": frozenset(_LSTM),
    "unidirectional_sequence_lstm": frozenset(_LSTM),
    "bidirectional_sequence_lstm": frozenset([*_LSTM, *(place + 17 for place in _LSTM), *range(39, 48)]),
    "bidirectional_sequence_rnn": frozenset(range(9, 12)),
}
"""Inputs that may be absent before later ones. Any other op needs as many first ones as it takes at least."""


def boundary(model: Model, graph: Graph) -> Iterator[str]:
    """Inputs differ from each other in identity and name, and no node writes one."""
    for side, tensors in (("input", graph.inputs), ("output", tuple(dict.fromkeys(graph.outputs)))):
        for place, name in _repeated(t.name for t in tensors):
            yield f"graph {graph.name}: {side} {place} has the name {name!r} of an earlier one"
    for place, tensor in enumerate(graph.inputs):
        if tensor in graph.producers:
            yield f"graph {graph.name}: input {place} {tensor.name!r} is written by a node"


def _repeated(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            yield place, name
        seen.add(name)


def producers(model: Model, graph: Graph) -> Iterator[str]:
    """Every tensor is written by one node at most, and no constant by any."""
    writers: dict[Tensor, Node] = {}
    for node in graph.nodes:
        for place, tensor in enumerate(node.outputs):
            if tensor.constant:
                yield f"{node.where}: output {place} {tensor.name!r} is a constant"
            if tensor in writers:
                first = writers[tensor].where
                yield f"{node.where}: output {place} {tensor.name!r} is written by {first} already"
            writers[tensor] = node


def order(model: Model, graph: Graph) -> Iterator[str]:
    """What a node reads is an input, a constant, a variable, or written by an earlier node.

    Custom ops may read what nobody writes: vendor compilers hand them scratch memory that way.
    """
    known = set(graph.inputs)
    for node in graph.nodes:
        for place, tensor in enumerate(node.inputs):
            if tensor is None or tensor in known or tensor.constant or tensor.variable:
                continue
            if node.op != "custom":
                yield f"{node.where}: input {place} {tensor.name!r} has no value yet"
        known.update(node.outputs)
    for place, tensor in enumerate(graph.outputs):
        if not (tensor in known or tensor.constant or tensor.variable):
            yield f"graph {graph.name}: output {place} {tensor.name!r} never gets a value"


def arity(model: Model, graph: Graph) -> Iterator[str]:
    """As many inputs and outputs as the op table says, where it knows the op; a custom op has a name."""
    from edged.graph.ops import table

    specs = table()
    for node in graph.nodes:
        if (node.op == "custom") != bool(node.custom_code):
            yield f"{node.where}: a custom op has a custom_code, and nothing else has"
        spec = specs.get(node.kind)
        if spec is not None:
            yield from _arity(node, spec)


def _arity(node: Node, spec: OpSpec) -> Iterator[str]:
    counts = (("inputs", len(node.inputs), spec.inputs), ("outputs", len(node.outputs), spec.outputs))
    for side, count, (least, most) in counts:
        if count < least or (most is not None and count > most):
            wanted = f"{least} or more" if most is None else f"{least} to {most}"
            yield f"{node.where}: {count} {side}; {node.kind} takes {wanted if most != least else least}"
    optional = OPTIONAL.get(node.kind, frozenset())
    for place, tensor in enumerate(node.inputs[: spec.inputs[0]]):
        if tensor is None and place not in optional:
            yield f"{node.where}: input {place} is absent; {node.kind} needs it"


def attributes(model: Model, graph: Graph) -> Iterator[str]:
    """Strides, dilations and the like are positive."""
    for node in graph.nodes:
        for name, value in node.attrs.items():
            if name in LEAST and value < LEAST[name]:
                yield f"{node.where}: {name} is {value}, and must be at least {LEAST[name]}"


def calls(model: Model, graph: Graph) -> Iterator[str]:
    """Called graphs exist, and take and give what the caller hands over."""
    for node in graph.nodes:
        for call, index in called(node):
            if not 0 <= index < len(model.graphs):
                yield f"{node.where}: {call.attribute} {index} out of range of {len(model.graphs)} graphs"
            else:
                yield from _call(node, call, model.graphs[index])


def _call(node: Node, call: Call, target: Graph) -> Iterator[str]:
    if call.skip is not None and len(node.inputs) - call.skip != len(target.inputs):
        handed = len(node.inputs) - call.skip
        yield f"{node.where}: graph {target.name} takes {len(target.inputs)} inputs and is given {handed}"
    wanted = {"outputs": len(node.outputs), "one": 1, "none": 0}.get(call.returns)
    if wanted is not None and len(target.outputs) != wanted:
        yield f"{node.where}: graph {target.name} gives {len(target.outputs)} outputs, not {wanted}"


def recursion(model: Model, graph: Graph) -> Iterator[str]:
    """No graph calls itself, directly or through others. (Looked for once, from the main graph's turn.)"""
    if graph is not model.main:
        return
    known = range(len(model.graphs))
    targets = [{i for node in g.nodes for _, i in called(node) if i in known} for g in model.graphs]
    callers = [0] * len(targets)
    for target in (i for found in targets for i in found):
        callers[target] += 1
    free = [i for i, count in enumerate(callers) if not count]
    for index in free:
        for target in targets[index]:
            callers[target] -= 1
            if not callers[target]:
                free.append(target)
    if len(free) < len(targets):
        stuck = next(i for i, count in enumerate(callers) if count)
        yield f"graph {model.graphs[stuck].name} is called in a circle; graphs must not call themselves"


def signatures(model: Model, graph: Graph) -> Iterator[str]:
    """A signature's tensors are inputs of its graph, and tensors of it."""
    for signature in model.signatures:
        if not 0 <= signature.graph < len(model.graphs):
            if graph is model.main:
                yield f"signature {signature.name!r}: graph {signature.graph} out of range"
        elif model.graphs[signature.graph] is graph:
            sides = (("input", signature.inputs, graph.inputs), ("output", signature.outputs, graph.tensors))
            for side, named, known in sides:
                strange = set(named.values()).difference(known)
                for name in (name for name, tensor in named.items() if tensor in strange):
                    yield f"signature {signature.name!r}: {side} {name!r} is no {side} of graph {graph.name}"
