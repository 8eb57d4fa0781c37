"""Rewriting a graph by tables of rules.

A rule is `(pattern, function)`. The pattern names a node and, through its inputs, the nodes that feed it; the
function gets the match and answers with what to put in place of the root node: a Node (with the root's
outputs), a Tensor that already holds the value, or None for "leave it". Nodes stand in topological order and
patterns look backwards, so one forward walk with a count of uses reaches the fixpoint of peephole rules. What
a rule makes unused is dropped on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from edged.graph.model import Graph, Node, Tensor


@dataclass(frozen=True, slots=True)
class Pat:
    """Matches a node of one of `kinds` whose inputs match `inputs` (a missing or None entry matches
    anything).

    `once`: every output of the node is used exactly once, so it may be swallowed. `name`: key of the node in
    the match.
    `where`: a further condition on the node alone.
    """

    kinds: str | tuple[str, ...]
    inputs: tuple[Pat | None, ...] = ()
    name: str = "root"
    once: bool = False
    where: Callable[[Node], bool] | None = None

    def roots(self) -> tuple[str, ...]:
        return (self.kinds,) if isinstance(self.kinds, str) else self.kinds


Match = Mapping[str, Node]
Replacement = Node | Tensor | None
Rule = tuple[Pat, Callable[[Match], Replacement]]


class _Walk:
    """State of one forward walk: what has been emitted, who produces and how often each tensor is used."""

    def __init__(self, graph: Graph, rules: Sequence[Rule]) -> None:
        self.graph = graph
        self.outputs = frozenset(graph.outputs)
        self.uses: dict[Tensor, int] = dict(graph.uses)
        self.producer: dict[Tensor, Node] = {}
        self.instead: dict[Tensor, Tensor] = {}
        self.emitted: dict[Node, None] = {}
        self.by_root: dict[str, list[Rule]] = {}
        for rule in rules:
            for kind in rule[0].roots():
                self.by_root.setdefault(kind, []).append(rule)

    def visit(self, node: Node) -> None:
        if any(t in self.instead for t in node.inputs if t is not None):
            node = replace(
                node, inputs=tuple(None if t is None else self.instead.get(t, t) for t in node.inputs)
            )
        while (better := self._improve(node)) is not None:
            self._count(better, +1)
            self._count(node, -1)
            if isinstance(better, Tensor):
                self._redirect(node.outputs[0], better)
                return
            node = better
        self.emitted[node] = None
        self.producer.update((t, node) for t in node.outputs)

    def _improve(self, node: Node) -> Replacement:
        for pattern, function in self.by_root.get(node.kind, ()):
            found: dict[str, Node] = {}
            if not self._matches(pattern, node, found):
                continue
            better = function(found)
            if isinstance(better, Tensor) and (len(node.outputs) != 1 or node.outputs[0] in self.outputs):
                continue  # a graph output keeps the tensor, and the name, that it has
            if better is not None:
                return better
        return None

    def _matches(self, pattern: Pat, node: Node, found: dict[str, Node]) -> bool:
        if node.kind not in pattern.roots() or (pattern.where is not None and not pattern.where(node)):
            return False
        if pattern.once and any(self.uses.get(t, 0) != 1 or t in self.outputs for t in node.outputs):
            return False
        for index, inner in enumerate(pattern.inputs):
            if inner is None:
                continue
            tensor = node.optional(index)
            feeder = self.producer.get(tensor) if tensor is not None else None
            if feeder is None or not self._matches(inner, feeder, found):
                return False
        found[pattern.name] = node
        return True

    def _count(self, what: Node | Tensor, step: int) -> None:
        """Adds (+1) or takes away (-1) the uses that `what` makes of tensors, dropping producers left
        unused."""
        for tensor in (what,) if isinstance(what, Tensor) else what.inputs:
            if tensor is None:
                continue
            self.uses[tensor] = self.uses.get(tensor, 0) + step
            if step < 0 and self.uses[tensor] == 0:
                self._drop(tensor)

    def _drop(self, tensor: Tensor) -> None:
        node = self.producer.get(tensor)
        if node is None or node not in self.emitted or any(self.uses.get(t, 0) for t in node.outputs):
            return
        del self.emitted[node]
        self._count(node, -1)

    def _redirect(self, old: Tensor, new: Tensor) -> None:
        self.instead[old] = new
        self.uses[new] += self.uses.pop(old, 0) - 1  # less the use that kept `new` alive meanwhile


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """`graph` with every rule applied wherever it matches; the same object when none does."""
    walk = _Walk(graph, rules)
    for node in graph.nodes:
        walk.visit(node)
    nodes = tuple(walk.emitted)
    return graph if nodes == graph.nodes else graph.with_nodes(nodes)
