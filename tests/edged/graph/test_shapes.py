"""Shapes that follow from the inputs': completed where a file leaves them out, and left where only a run knows."""

from __future__ import annotations

import pytest

from edged.errors import ShapeError
from edged.graph.model import DType, Graph, Model, Node, Signature, Tensor
from edged.graph.shapes import count_macs, resize, resolve


def t(name: str, *shape: int, known: bool = True, signature: tuple[int, ...] | None = None) -> Tensor:
    return Tensor(name, DType.FLOAT32, shape, signature=signature, rank_known=known)


def chain(middle: Tensor, last: Tensor) -> Model:
    x = t("x", 2, 3, signature=(-1, 3))
    nodes = (Node("neg", (x,), (middle,)), Node("abs", (middle,), (last,)))
    graph = Graph("main", (x,), (last,), nodes)
    return Model((graph,), (Signature("serve", 0, {"x": x}, {"y": last}),))


def test_missing_and_wrong_shapes_are_inferred_and_signatures_follow() -> None:
    model = resolve(chain(t("a", known=False), t("y", 1)))
    assert [node.outputs[0].shape for node in model.main.nodes] == [(2, 3), (2, 3)]
    assert model.main.nodes[0].outputs[0].rank_known
    assert model.signatures[0].outputs["y"] is model.main.outputs[0] is model.main.nodes[1].outputs[0]
    assert model.main.nodes[1].inputs[0] is model.main.nodes[0].outputs[0]


def test_a_model_whose_shapes_are_right_is_left_alone() -> None:
    model = chain(t("a", 2, 3), t("y", 2, 3))
    assert resolve(model) is model


def test_what_nobody_knows_stays() -> None:
    x, y = t("x", 2), t("y")
    model = Model((Graph("main", (x,), (y,), (Node("custom", (x,), (y,), custom_code="Mystery"),)),))
    assert resolve(model) is model


def test_resizing_an_input_resizes_what_follows() -> None:
    model = resize(chain(t("a", 2, 3), t("y", 2, 3)), {"x": (7, 3)})
    assert model.main.outputs[0].shape == (7, 3)
    assert model.signatures[0].outputs["y"].shape == (7, 3)
    assert count_macs(model.main) == 0


def test_only_open_dimensions_can_be_resized() -> None:
    with pytest.raises(ShapeError, match="'x' cannot be resized to 7x4, it is \\?x3"):
        resize(chain(t("a", 2, 3), t("y", 2, 3)), {"x": (7, 4)})
    with pytest.raises(ShapeError, match="no input 'z' to resize"):
        resize(chain(t("a", 2, 3), t("y", 2, 3)), {"z": (7, 3)})
