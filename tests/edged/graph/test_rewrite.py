"""The walk itself: uses, dropping, redirection."""

from __future__ import annotations

from dataclasses import replace

from edged.graph.rewrite import Pat, rewrite
from support.graphtext import parse


def test_no_match_is_the_same_object() -> None:
    graph = parse("graph g(%x:float32[2]) -> (%y:float32[2])\n %y = relu(%x)")
    assert rewrite(graph, [(Pat("exp"), lambda m: m["root"].input(0))]) is graph


def test_tensor_replacement_keeps_graph_outputs() -> None:
    """A rule that removes a node leaves it when its output is the graph's."""
    graph = parse("graph g(%x:float32[2]) -> (%y:float32[2])\n %t:float32[2] = exp(%x)\n %y = exp(%t)")
    out = rewrite(graph, [(Pat("exp"), lambda m: m["root"].input(0))])
    assert [n.op for n in out.nodes] == ["exp"]
    assert out.nodes[0].inputs == graph.inputs


def test_once_counts_graph_outputs() -> None:
    graph = parse("graph g(%x:float32[2]) -> (%t:float32[2], %y:float32[2])\n %t = exp(%x)\n %y = relu(%t)")
    rule = (Pat("relu", (Pat("exp", name="inner", once=True),)), lambda m: replace(m["root"], op="elu"))
    assert rewrite(graph, [rule]) is graph


def test_swallowed_chain_is_dropped() -> None:
    """Dropping one node drops what only fed it, and a rule sees its own result again."""
    graph = parse(
        "graph g(%x:float32[2]) -> (%y:float32[2])\n %a:float32[2] = exp(%x)\n %b:float32[2] = log(%a)\n %y = relu(%b)"
    )
    rule = (Pat("relu", (Pat("log", name="inner"),)), lambda m: replace(m["root"], inputs=graph.inputs))
    assert [n.op for n in rewrite(graph, [rule]).nodes] == ["relu"]
