"""The passes that every loaded model goes through, as one table in the order they run.

They work on concrete shapes: a model whose inputs are resized is resized first (`edged.graph.shapes`) and
then optimised. Tensor names of graph inputs and outputs never change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edged.graph import rules_fuse, rules_layout
from edged.graph.constants import fold_constants
from edged.graph.model import Graph, Model, Node, Tensor
from edged.graph.rewrite import rewrite
from edged.graph.shapes import resolve

Pass = Callable[[Graph], Graph]

SIDE_EFFECTS = frozenset(
    {"assign_variable", "call_once", "while", "if", "call", "custom", "hashtable_import"}
)
"""Ops that may change what outlives the call, or that only a backend understands: kept although nothing reads
them."""


def drop_dead(graph: Graph) -> Graph:
    """`graph` without nodes that nobody reads and that change nothing that outlives the call."""
    needed: set[Tensor] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        lasting = node.op in SIDE_EFFECTS or any(t is not None and t.variable for t in node.inputs)
        if lasting or any(t in needed for t in node.outputs):
            kept.append(node)
            needed.update(t for t in node.inputs if t is not None)
    if len(kept) == len(graph.nodes):
        return graph
    return graph.with_nodes(reversed(kept))


PASSES: tuple[tuple[str, Pass], ...] = (
    ("fold constants", fold_constants),
    ("cancel movement", lambda graph: rewrite(graph, rules_layout.RULES)),
    ("fuse", lambda graph: rewrite(graph, rules_fuse.RULES)),
    ("drop dead nodes", drop_dead),
)


def optimise_graph(graph: Graph) -> Graph:
    """One graph through every pass."""
    for _, run in PASSES:
        graph = run(graph)
    return graph


def optimise(model: Model) -> Model:
    """`model` with shapes completed, and then every graph through every pass; signatures stay valid, since
    graph inputs and outputs stay."""
    model = resolve(model)
    return replace(model, graphs=tuple(optimise_graph(graph) for graph in model.graphs))
