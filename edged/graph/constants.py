"""Making constant tensors, and folding nodes whose inputs are all constant."""

from __future__ import annotations

from dataclasses import replace

from edged.errors import EdgedError
from edged.graph.arrays import Array, constant, to_bytes
from edged.graph.evaluate import constant_value, evaluate_node
from edged.graph.model import DType, Graph, Node, Shape, Tensor
from edged.graph.ops import table

FOLD_GROWTH = 1 << 16
"""A folded value may be this many bytes larger than the constants it is made of (float16 weights double, a
FILL may not explode)."""

_ALWAYS = frozenset({"dequantize", "densify"})
_NEVER = frozenset(
    {
        "custom",
        "random_uniform",
        "random_standard_normal",
        "multinomial",
        "call_once",
        "var_handle",
        "while",
        "if",
    }
)


def make_constant(name: str, array: Array, like: Tensor | None = None) -> Tensor:
    """A constant tensor holding `array`; dtype, quantisation from `like`, else the array's own dtype."""
    dtype = like.dtype if like is not None else DType(str(array.dtype))
    data = memoryview(to_bytes(dtype, array))
    base = like if like is not None else Tensor(name, dtype, ())
    return replace(
        base, name=name, shape=tuple(array.shape), signature=None, data=data, sparsity=None, variable=False
    )


def with_array(tensor: Tensor, array: Array) -> Tensor:
    """The constant `tensor` with other values (and their shape)."""
    return make_constant(tensor.name, array, tensor)


def is_value(tensor: Tensor, value: float) -> bool:
    """True for a constant whose every element is `value`."""
    return tensor.constant and tensor.elements > 0 and bool((constant(tensor) == value).all())


def _foldable(node: Node) -> bool:
    spec = table().get(node.kind)
    if spec is None or spec.stateful or node.op in _NEVER or not node.inputs:
        return False
    return all(t is None or (t.constant and t.dtype.bits > 0) for t in node.inputs) and not any(
        t.dtype.bits == 0 for t in node.outputs
    )


def _fits(node: Node, arrays: tuple[Array, ...]) -> bool:
    known = sum(t.nbytes for t in node.inputs if t is not None)
    return node.op in _ALWAYS or sum(a.nbytes for a in arrays) <= known + FOLD_GROWTH


def _predicted(node: Node) -> int:
    return sum(t.nbytes for t in node.outputs)


def _shape_of(node: Node) -> tuple[Array, ...] | None:
    """SHAPE of a tensor of known shape is a constant, whatever the tensor holds."""
    import numpy as np

    source: Shape | None = node.input(0).shape if node.op == "shape" and node.input(0).rank_known else None
    if source is None:
        return None
    return (np.array(source, np.int64 if node.outputs[0].dtype is DType.INT64 else np.int32),)


def fold_constants(graph: Graph, dynamic: frozenset[Tensor] = frozenset()) -> Graph:
    """`graph` with every node of constant inputs replaced by its value.

    Float16 weights behind DEQUANTIZE and sparse ones behind DENSIFY are always folded. Tensors in `dynamic`
    have a shape that only a run knows. A node whose reference refuses its inputs is left for the run to
    report.
    """
    value: dict[Tensor, Tensor] = {}
    kept: list[Node] = []
    outputs = frozenset(graph.outputs)
    for node in graph.nodes:
        if any(t in value for t in node.inputs if t is not None):
            node = replace(node, inputs=tuple(None if t is None else value.get(t, t) for t in node.inputs))
        arrays = _fold(node, dynamic)
        if arrays is None or any(t in outputs for t in node.outputs):
            kept.append(node)
            continue
        value.update((t, make_constant(t.name, a, t)) for t, a in zip(node.outputs, arrays, strict=True))
    return graph.with_nodes(kept) if value else graph


def _fold(node: Node, dynamic: frozenset[Tensor]) -> tuple[Array, ...] | None:
    if node.op == "shape" and node.input(0) not in dynamic:
        return _shape_of(node)
    if not _foldable(node) or (node.op not in _ALWAYS and _predicted(node) > FOLD_GROWTH * 64):
        return None
    inputs = [None if t is None else constant_value(t) for t in node.inputs]
    try:
        arrays = tuple(evaluate_node(node, inputs))
    except EdgedError:
        return None
    return arrays if _fits(node, arrays) else None
