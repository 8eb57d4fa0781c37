"""Shapes of a whole graph: resizing inputs, completing what a file leaves out, counting
multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edged.errors import EdgedError, ModelError, ShapeError
from edged.graph.arrays import constant
from edged.graph.evaluate import constant_value
from edged.graph.model import Graph, Model, Node, Shape, Tensor
from edged.graph.ops import table
from edged.graph.ops.spec import Array


def node_macs(node: Node) -> int:
    """Multiply-accumulates of one run of a node at its tensors' shapes; 0 for what only moves or looks up."""
    spec = table().get(node.kind)
    if spec is None or spec.macs is None:
        return 0
    ins = [None if t is None else t.shape for t in node.inputs]
    return spec.macs(node, ins, [t.shape for t in node.outputs])


def count_macs(graph: Graph) -> int:
    """Multiply-accumulates of one run of a graph."""
    return sum(node_macs(node) for node in graph.nodes)


def _checked(tensor: Tensor, shape: Shape) -> Shape:
    allowed = tensor.signature or tensor.shape
    fits = len(shape) == len(allowed) and all(a in (-1, s) for a, s in zip(allowed, shape, strict=True))
    if not fits and shape != tensor.shape:
        wanted = "x".join("?" if a == -1 else str(a) for a in allowed)
        raise ShapeError(
            f"input {tensor.name!r} cannot be resized to {'x'.join(map(str, shape))}, it is {wanted}"
        )
    return shape


def resize_graph(graph: Graph, shapes: Mapping[str, Shape]) -> Graph:
    """`graph` with other input shapes, by tensor name, and every shape that follows from them inferred
    anew."""
    names = {t.name for t in graph.inputs}
    for name in shapes:
        if name not in names:
            raise ShapeError(f"no input {name!r} to resize", remedy=f"inputs: {', '.join(sorted(names))}")
    new: dict[Tensor, Tensor] = {
        t: replace(t, shape=_checked(t, shapes[t.name])) for t in graph.inputs if t.name in shapes
    }
    nodes = [_resized(node, new) for node in graph.nodes]
    return Graph(
        graph.name,
        tuple(new.get(t, t) for t in graph.inputs),
        tuple(new.get(t, t) for t in graph.outputs),
        tuple(nodes),
    )


def _resized(node: Node, new: dict[Tensor, Tensor]) -> Node:
    if not any(t in new for t in node.inputs if t is not None):
        return node
    inputs = tuple(None if t is None else new.get(t, t) for t in node.inputs)
    moved = replace(node, inputs=inputs)
    spec = table().get(node.kind)
    if spec is None:
        raise ModelError(f"{node.where}: {node.kind} is not known here, so its output cannot be resized")

    def value(index: int) -> Array | None:
        tensor = inputs[index] if index < len(inputs) else None
        return constant(tensor) if tensor is not None and tensor.constant else None

    shapes = spec.infer(moved, [None if t is None or not t.rank_known else t.shape for t in inputs], value)
    outputs = []
    for tensor, shape in zip(node.outputs, shapes, strict=False):
        made = replace(tensor, shape=() if shape is None else tuple(shape), rank_known=shape is not None)
        new[tensor] = made
        outputs.append(made)
    return replace(moved, outputs=tuple(outputs))


def resize(model: Model, shapes: Mapping[str, Shape]) -> Model:
    """`model` with its main graph's inputs resized; signatures follow."""
    graph = resize_graph(model.main, shapes)
    old = model.main
    moved = dict(zip((*old.inputs, *old.outputs), (*graph.inputs, *graph.outputs), strict=True))
    signatures = tuple(
        replace(
            s,
            inputs={n: moved.get(t, t) for n, t in s.inputs.items()},
            outputs={n: moved.get(t, t) for n, t in s.outputs.items()},
        )
        if s.graph == 0
        else s
        for s in model.signatures
    )
    return replace(model, graphs=(graph, *model.graphs[1:]), signatures=signatures)


def resolve(model: Model) -> Model:
    """`model` with the shapes that follow from its inputs' shapes where the file states others, or none.

    Files leave out what LiteRT works out before a run (the outputs of TFLite_Detection_PostProcess).
    Shapes that only a run knows stay as they are."""
    new: dict[Tensor, Tensor] = {}
    graphs = tuple(_resolved(graph, new) for graph in model.graphs)
    if not new:
        return model
    signatures = tuple(
        replace(s, outputs={name: new.get(t, t) for name, t in s.outputs.items()}) for s in model.signatures
    )
    return replace(model, graphs=graphs, signatures=signatures)


def _resolved(graph: Graph, new: dict[Tensor, Tensor]) -> Graph:
    known: dict[Tensor, Shape] = {t: t.shape for t in (*graph.inputs, *graph.constants, *graph.variables)}
    nodes = []
    for node in graph.nodes:
        if any(t in new for t in node.inputs if t is not None):
            node = replace(node, inputs=tuple(None if t is None else new.get(t, t) for t in node.inputs))
        for tensor, shape in zip(node.outputs, _inferred(node, known), strict=False):
            held = tensor
            if shape is not None and (tuple(shape) != tensor.shape or not tensor.rank_known):
                held = new[tensor] = replace(tensor, shape=tuple(shape), signature=None, rank_known=True)
            if shape is not None:
                known[held] = held.shape
        if any(t in new for t in node.outputs):
            node = replace(node, outputs=tuple(new.get(t, t) for t in node.outputs))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), outputs=tuple(new.get(t, t) for t in graph.outputs))


def _inferred(node: Node, known: Mapping[Tensor, Shape]) -> Sequence[Shape | None]:
    """Shapes of a node's outputs; None where nobody knows, or where the node is wrong (its run will say
    so)."""

    def value(index: int) -> Array | None:
        tensor = node.optional(index)
        fixed = tensor is not None and tensor.constant and tensor.dtype.bits > 0
        return constant_value(tensor) if fixed and tensor is not None else None

    spec = table().get(node.kind)
    if spec is None:
        return [None] * len(node.outputs)
    try:
        return spec.infer(node, [None if t is None else known.get(t) for t in node.inputs], value)
    except EdgedError:
        return [None] * len(node.outputs)
