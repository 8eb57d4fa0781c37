"""Chains of nodes for fusion: only where each value is read once, and never against the order of the
graph."""

from __future__ import annotations

from edged.graph.model import DType, Graph, Node, Tensor
from edged_backends.chains import chains, match


def t(name: str) -> Tensor:
    return Tensor(name, DType.FLOAT32, (1,))


def kinds(found: list[tuple[Node, ...]]) -> list[str]:
    return [" ".join(node.op for node in chain) for chain in found]


def test_a_chain_stands_at_the_place_of_its_last_node() -> None:
    x, a, b, c = t("x"), t("a"), t("b"), t("c")
    graph = Graph(
        "g", (x,), (c,), (Node("conv", (x,), (a,)), Node("relu", (x,), (b,)), Node("add", (a, b), (c,)))
    )
    assert kinds(chains(graph, [("conv", "add")])) == ["relu", "conv add"]


def test_a_value_that_is_read_twice_ends_a_chain() -> None:
    x, a, b = t("x"), t("a"), t("b")
    twice = Graph("g", (x,), (b,), (Node("conv", (x,), (a,)), Node("add", (a, a), (b,))))
    returned = Graph("g", (x,), (a, b), (Node("conv", (x,), (a,)), Node("add", (a, x), (b,))))
    assert kinds(chains(twice, [("conv", "add")])) == ["conv", "add"]
    assert kinds(chains(returned, [("conv", "add")])) == ["conv", "add"]


def test_the_longer_pattern_wins_and_no_node_is_in_two_chains() -> None:
    x, a, b, c, d = map(t, "xabcd")
    nodes = (
        Node("dw", (x,), (a,)),
        Node("conv", (a,), (b,)),
        Node("add", (b, x), (c,)),
        Node("relu", (c,), (d,)),
    )
    graph = Graph("g", (x,), (d,), nodes)
    assert kinds(chains(graph, [("dw", "conv", "add"), ("dw", "conv"), ("add", "relu")])) == [
        "dw conv add",
        "relu",
    ]
    assert kinds(chains(graph, [("dw", "conv"), ("conv", "add"), ("add", "relu")])) == ["dw conv", "add relu"]


def test_without_patterns_every_node_is_alone() -> None:
    x, a, b = t("x"), t("a"), t("b")
    nodes = (Node("conv", (x,), (a,)), Node("relu", (a,), (b,)))
    assert chains(Graph("g", (x,), (b,), nodes), []) == [(node,) for node in nodes]


def test_match_looks_at_the_first_nodes() -> None:
    nodes = (Node("conv", (), ()), Node("relu", (), ()))
    assert match(("conv",), nodes)
    assert match(("conv", "relu"), nodes)
    assert not match(("conv", "relu", "add"), nodes)
    assert not match(("relu",), nodes)
