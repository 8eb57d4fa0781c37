"""A graph on its own -> a Model that holds it and the graphs it calls, numbered anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from edged.errors import ModelError
from edged.graph.model import Graph, Model, Node

CALLS: tuple[str, ...] = (
    "then_subgraph_index", "else_subgraph_index", "cond_subgraph_index", "body_subgraph_index",
    "init_subgraph_index", "subgraph", "comparator_subgraph_index", "update_computation_subgraph_index",
    "decomposition_subgraph_index", "branch_subgraph_indices", "called_computations",
)  # fmt: skip
"""Attributes that hold the index of a graph, or a tuple of such."""


def called(node: Node) -> Iterator[tuple[str, int]]:
    """The graphs that a node calls: attribute and index."""
    for name in CALLS:
        value = node.attrs.get(name)
        if value is not None:
            yield from ((name, index) for index in (value if isinstance(value, tuple) else (value,)))


def with_called_graphs(graph: Graph, model: Model | None) -> Model:
    """A model whose main graph is `graph`, with every graph that it calls, directly or not, from `model`."""
    graphs = [graph]
    places: dict[int, int] = {}
    for at in graphs:
        for node in at.nodes:
            for name, index in called(node):
                if model is None or not 0 <= index < len(model.graphs):
                    raise ModelError(f"{node.where}: {name} {index} names no graph of the model")
                if index not in places:
                    places[index] = len(graphs)
                    graphs.append(model.graphs[index])
    return Model(tuple(_renumbered(g, places) for g in graphs), format="tflite")


def _renumbered(graph: Graph, places: Mapping[int, int]) -> Graph:
    if not any(True for node in graph.nodes for _ in called(node)):
        return graph
    return graph.with_nodes(_renumbered_node(node, places) for node in graph.nodes)


def _renumbered_node(node: Node, places: Mapping[int, int]) -> Node:
    attrs: dict[str, Any] = dict(node.attrs)
    for name in CALLS:
        value = attrs.get(name)
        if isinstance(value, tuple):
            attrs[name] = tuple(places[index] for index in value)
        elif value is not None:
            attrs[name] = places[value]
    return replace(node, attrs=MappingProxyType(attrs)) if attrs != node.attrs else node
