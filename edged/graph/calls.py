"""Which graphs a node calls: IF, WHILE and their kin name other graphs of the model by index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edged.graph.model import Node


@dataclass(frozen=True, slots=True)
class Call:
    """An attribute that holds the index of a graph, or a tuple of such.

    `skip` leading inputs of the node are not handed on (the condition of an IF). `returns`: how many
    outputs the called graph must have: "outputs" (the node's), "one", "none", or "" where the schema says
    nothing.
    """

    attribute: str
    skip: int | None = None
    returns: str = ""


CALLS: tuple[Call, ...] = (
    Call("then_subgraph_index", 1, "outputs"),
    Call("else_subgraph_index", 1, "outputs"),
    Call("cond_subgraph_index", 0, "one"),
    Call("body_subgraph_index", 0, "outputs"),
    Call("subgraph", 0, "outputs"),
    Call("init_subgraph_index", 0, "none"),
    Call("comparator_subgraph_index"),
    Call("update_computation_subgraph_index"),
    Call("decomposition_subgraph_index"),
    Call("branch_subgraph_indices"),
    Call("called_computations"),
)
_REDUCERS = frozenset({"stablehlo_reduce", "stablehlo_reduce_window"})
"""Their bodies combine two values, whatever the node's own inputs are."""


def called(node: Node) -> Iterator[tuple[Call, int]]:
    """The calls of a node, each with the index of the graph."""
    for call in CALLS:
        value = node.attrs.get(call.attribute)
        if value is not None:
            found = Call(call.attribute) if node.op in _REDUCERS else call
            yield from ((found, index) for index in (value if isinstance(value, tuple) else (value,)))
