"""How much working memory a graph needs: the lives of its tensors, placed in one arena."""

from __future__ import annotations

from edged.graph.arena import Block, plan
from edged.graph.model import Graph, Tensor

_MOVES = frozenset({"reshape", "squeeze", "expand_dims"})


def graph_blocks(graph: Graph) -> list[Block]:
    """A block per value that is computed: alive from its node to its last reader; reshapes share their
    input's bytes."""
    origin: dict[Tensor, Tensor] = {}
    first: dict[Tensor, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[Tensor, int] = {}
    end = len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        for tensor in node.inputs:
            if tensor is not None and not tensor.constant:
                last[origin.get(tensor, tensor)] = index
        for tensor in node.outputs:
            if node.op in _MOVES and node.input(0) in first:
                origin[tensor] = origin.get(node.input(0), node.input(0))
            else:
                first[tensor] = index
    for tensor in graph.outputs:
        last[origin.get(tensor, tensor)] = end
    return [Block(t.nbytes, start, max(last.get(t, start), start)) for t, start in first.items()]


def graph_arena(graph: Graph) -> int:
    """Bytes of the planned arena, inputs and outputs included."""
    return plan(graph_blocks(graph)).total
