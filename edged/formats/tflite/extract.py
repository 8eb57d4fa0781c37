"""A graph on its own -> a Model that holds it and the graphs it calls, numbered anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from edged.errors import ModelError
from edged.graph.calls import CALLS, called
from edged.graph.model import Graph, Model, Node

_INDICES = frozenset(call.attribute for call in CALLS)


def with_called_graphs(graph: Graph, model: Model | None) -> Model:
    """A model whose main graph is `graph`, with every graph that it calls, directly or not, from `model`."""
    graphs = [graph]
    places: dict[int, int] = {}
    for at in graphs:
        for node in at.nodes:
            for call, index in called(node):
                if model is None or not 0 <= index < len(model.graphs):
                    raise ModelError(f"{node.where}: {call.attribute} {index} names no graph of the model")
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
    for name, value in node.attrs.items():
        if name not in _INDICES:
            continue
        attrs[name] = tuple(places[index] for index in value) if isinstance(value, tuple) else places[value]
    return replace(node, attrs=MappingProxyType(attrs)) if attrs != node.attrs else node
