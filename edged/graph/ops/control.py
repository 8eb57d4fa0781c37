"""Control flow and resource variables: arity and shapes. What they do needs a whole evaluation
(`edged.graph.evaluate`)."""

from __future__ import annotations

from collections.abc import Sequence

from edged.errors import UnsupportedError
from edged.graph.model import Node, Shape
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value

Shapes = Sequence[Shape | None]


def unknown(node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    """Shapes that only a run knows."""
    return [None] * len(node.outputs)


def as_stored(node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    """Shapes as the file has them."""
    return [t.shape for t in node.outputs]


def outside(node: Node, _arrays: Arrays) -> Sequence[Array]:
    """Evaluated alone, such a node has no meaning."""
    raise UnsupportedError(f"{node.where}: {node.op} needs the model around it")


def infer_while(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    """Loop variables keep the shapes that they enter with."""
    return list(shapes)


OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "if", unknown, outside, {"then_subgraph_index": 0, "else_subgraph_index": 0}, (1, None), (0, None)
    ),
    OpSpec(
        "while",
        infer_while,
        outside,
        {"cond_subgraph_index": 0, "body_subgraph_index": 0},
        (0, None),
        (0, None),
    ),
    OpSpec("call_once", as_stored, outside, {"init_subgraph_index": 0}, (0, 0), (0, 0)),
    OpSpec("var_handle", as_stored, outside, {"container": "", "shared_name": ""}, (0, 0)),
    OpSpec("read_variable", as_stored, outside, {}, (1, 1)),
    OpSpec("assign_variable", as_stored, outside, {}, (2, 2), (0, 0)),
)
