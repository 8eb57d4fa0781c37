"""Which nodes are lowered together: the order of lowering, with chains of nodes that a fusion rule may
take as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edged.graph.model import Graph, Node, Tensor

Pattern = tuple[str, ...]


def chains(graph: Graph, patterns: Iterable[Pattern]) -> list[tuple[Node, ...]]:
    """Every node once, in an order that respects who reads what; nodes of a matching chain stand at the
    place of its last node.

    In a chain each node's only output is read once, by the next node. Longer patterns must come first.
    """
    wanted: dict[str, list[Pattern]] = {}
    for pattern in patterns:
        wanted.setdefault(pattern[0], []).append(pattern)
    reader = _only_readers(graph)
    claimed: set[Node] = set()
    placed: dict[Node, tuple[Node, ...]] = {}
    for node in graph.nodes:
        if node in claimed:
            continue
        chain = _longest(node, wanted.get(node.kind, ()), reader, claimed)
        claimed.update(chain)
        placed[chain[-1]] = chain
    return [placed[node] for node in graph.nodes if node in placed]


def match(pattern: Pattern, nodes: Sequence[Node]) -> bool:
    """True when the first nodes are of the pattern's kinds."""
    return len(nodes) >= len(pattern) and all(
        node.kind == kind for node, kind in zip(nodes, pattern, strict=False)
    )


def _only_readers(graph: Graph) -> dict[Tensor, Node]:
    return {t: node for node in graph.nodes for t in node.inputs if t is not None and graph.uses[t] == 1}


def _longest(
    node: Node, patterns: Sequence[Pattern], reader: dict[Tensor, Node], claimed: set[Node]
) -> tuple[Node, ...]:
    for pattern in patterns:
        chain = [node]
        for kind in pattern[1:]:
            follower = reader.get(chain[-1].outputs[0]) if len(chain[-1].outputs) == 1 else None
            if follower is None or follower.kind != kind or follower in claimed:
                break
            chain.append(follower)
        else:
            return tuple(chain)
    return (node,)
