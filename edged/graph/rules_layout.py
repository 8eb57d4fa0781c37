"""Rules that cancel data movement: reshapes of reshapes, transposes that undo each other, moves that move
nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edged.graph.arrays import constant
from edged.graph.constants import make_constant
from edged.graph.model import Node
from edged.graph.ops.spec import attr
from edged.graph.rewrite import Match, Pat, Replacement, Rule

_RESHAPES = ("reshape", "squeeze", "expand_dims")


def _same_value(node: Node) -> bool:
    """The output has the bytes and the shape of the first input, so the node may go."""
    source, result = node.input(0), node.outputs[0]
    return (
        source.shape == result.shape
        and source.dtype == result.dtype
        and source.rank_known
        and result.rank_known
    )


def drop_identity(m: Match) -> Replacement:
    """A reshape to the shape that is there already."""
    return m["root"].input(0) if _same_value(m["root"]) else None


def join_reshapes(m: Match) -> Replacement:
    """reshape of a reshape: one reshape of the first one's input, with the last shape spelled out."""
    root, shape = m["root"], m["root"].outputs[0].shape
    if not root.outputs[0].rank_known:
        return None
    dims = make_constant(f"{root.outputs[0].name}/shape", np.array(shape, np.int32))
    return replace(root, op="reshape", inputs=(m["inner"].input(0), dims), attrs={"new_shape": shape})


def _permutation(node: Node) -> tuple[int, ...] | None:
    perm = node.optional(1)
    return tuple(int(i) for i in constant(perm)) if perm is not None and perm.constant else None


def drop_transpose(m: Match) -> Replacement:
    """A transpose that keeps the order of all dimensions, or of all that are longer than 1 and keeps the
    shape."""
    perm, node = _permutation(m["root"]), m["root"]
    if perm is None or not _same_value(node):
        return None
    long = [p for p in perm if node.input(0).shape[p] != 1]
    return node.input(0) if long == sorted(long) else None


def compose_transposes(m: Match) -> Replacement:
    """transpose of a transpose: one transpose, which drop_transpose removes when the two undo each other."""
    outer, inner = _permutation(m["root"]), _permutation(m["inner"])
    if outer is None or inner is None:
        return None
    perm = np.array([inner[i] for i in outer], np.int32)
    joined = make_constant(f"{m['root'].outputs[0].name}/perm", perm)
    return replace(m["root"], inputs=(m["inner"].input(0), joined))


def drop_cast(m: Match) -> Replacement:
    """A cast to the dtype that is there already."""
    return m["root"].input(0) if _same_value(m["root"]) else None


def drop_quantize(m: Match) -> Replacement:
    """QUANTIZE between equal quantisations of one integer dtype changes nothing."""
    source, result = m["root"].input(0), m["root"].outputs[0]
    same = _same_value(m["root"]) and source.quantization == result.quantization
    return source if same and not source.dtype.is_float else None


def drop_single_concat(m: Match) -> Replacement:
    """A concatenation of one tensor."""
    node = m["root"]
    same = len(node.inputs) == 1 and _same_value(node)
    plain = attr(node, "fused_activation_function", "NONE") == "NONE"
    alike = same and node.input(0).quantization == node.outputs[0].quantization
    return node.input(0) if alike and plain else None


RULES: list[Rule] = [
    (Pat(_RESHAPES), drop_identity),
    (Pat(_RESHAPES, (Pat(_RESHAPES, name="inner"),)), join_reshapes),
    (Pat("transpose"), drop_transpose),
    (Pat("transpose", (Pat("transpose", name="inner"),)), compose_transposes),
    (Pat("cast"), drop_cast),
    (Pat("quantize"), drop_quantize),
    (Pat("concatenation"), drop_single_concat),
]
