"""What walks an axis or a list in order: TOPK_V2, CUMSUM, segment reductions, SPARSE_TO_DENSE, BUCKETIZE."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.broadcast import rescaled
from edged.graph.ops.spec import attr, quantised
from edged_backends.lower.index import leading, wide
from edged_backends.lower.reduce import axes_of
from edged_backends.lower.scale import multiplier
from edged_backends.lower.strides import item_bytes
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref

_ORDERED = {
    DType.FLOAT32: "f32", DType.INT8: "s8", DType.UINT8: "u8", DType.INT16: "s16", DType.INT32: "s32",
    DType.INT64: "s64",
}  # fmt: skip
_PLACES = {DType.INT32: 4, DType.INT16: 2}


def lower_topk(lowering: Lowering, node: Node) -> str | None:
    source, (values, places) = node.input(0), node.outputs
    mine, suffix = lowering.internal(source), _ORDERED.get(lowering.internal(source).dtype)
    if suffix is None or mine.dtype is not lowering.internal(values).dtype or places.dtype not in _PLACES:
        return f"topk_v2 of {source.dtype} to {values.dtype} and {places.dtype}"
    depth, count = source.shape[-1], values.shape[-1]
    if count > depth:
        return f"the {count} greatest of {depth}"
    params = {"depth": depth, "count": count, "index_bytes": _PLACES[places.dtype]}
    refs = [lowering.ref(values), lowering.ref(places), lowering.ref(source)]
    units = source.elements // depth if depth else 0
    lowering.step(f"topk_{suffix}", params, refs, units=units, writes=2, work=4 * source.elements)
    return None


_SUMMED = {DType.FLOAT32: "f32", DType.INT32: "s32", DType.INT64: "s64", DType.INT8: "s8"}


def lower_cumsum(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    suffix = None if lowering.is_shifted(source) else _SUMMED.get(source.dtype)
    if suffix is None or (suffix == "s8") != quantised(source) or source.dtype is not output.dtype:
        return f"cumsum of {source.dtype}{' with a scale' if quantised(source) else ''}"
    axis = next(iter(axes_of(node)), 0)
    shape = source.shape
    params = {
        "axis": shape[axis], "inner": prod(shape[axis + 1 :]),
        "exclusive": int(attr(node, "exclusive", False)), "reverse": int(attr(node, "reverse", False)),
        **_sum_scaling(lowering, source, output, suffix == "s8"),
    }  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(f"cumsum_{suffix}", params, refs, units=prod(shape[:axis]), work=2 * source.elements)
    return None


def _sum_scaling(lowering: Lowering, source: Tensor, output: Tensor, scaled: bool) -> dict[str, int]:
    names = ("start", "zero_in", "mul_in", "shift_in", "mul_out", "shift_out", "zero_out")
    if not scaled:
        return dict.fromkeys(names, 0)
    mine, to = lowering.internal(source), lowering.internal(output)
    half = multiplier(0.5)
    twice = 2.0 * float(np.float32(mine.scale))
    out = multiplier(twice / ((1 << 20) * float(np.float32(to.scale))))
    start = int(rescaled(np.asarray(-mine.zero_point << 20), 0.5))
    return dict(zip(names, (start, mine.zero_point, *half, *out, to.zero_point), strict=True))


_SEGMENT = {
    "segment_sum": "sum", "unsorted_segment_sum": "sum", "unsorted_segment_prod": "prod",
    "unsorted_segment_max": "max", "unsorted_segment_min": "min",
}  # fmt: skip


def lower_segment(lowering: Lowering, node: Node) -> str | None:
    source, ids, output = node.input(0), node.input(1), node.outputs[0]
    op = f"segment_{_SEGMENT[node.op]}_{_SUMMED.get(source.dtype)}"
    if lowering.kernels.pick(op) is None or ids.dtype is not DType.INT32:
        return f"{node.op} of {source.dtype} by {ids.dtype}"
    refs = [lowering.ref(t) for t in (output, source, ids)]
    params = {"segments": output.shape[0], "rows": ids.elements, "inner": prod(output.shape[1:])}
    lowering.step(op, params, refs, units=1, work=source.elements)
    return None


def lower_sparse_to_dense(lowering: Lowering, node: Node) -> str | None:
    index, values, fallback, output = node.input(0), node.input(2), node.input(3), node.outputs[0]
    depth = len(output.shape)
    rows = index.elements // depth if depth > 1 or len(index.shape) == 2 else index.elements
    params = {
        "depth": depth, "size": item_bytes(output), "wide": wide(index), "rows": rows,
        "single": int(values.elements == 1), **leading(output.shape, depth),
    }  # fmt: skip
    placed = [_form(lowering, t, output) for t in (values, fallback)]
    lowering.step("sparse_to_dense", params, [lowering.ref(output), lowering.ref(index), *placed], units=1)
    return None


def _form(lowering: Lowering, tensor: Tensor, output: Tensor) -> Ref:
    """Where the stored values are in the form (int8 or not) that the output has."""
    if lowering.is_shifted(tensor) == lowering.is_shifted(output) or tensor.dtype.bits != 8:
        return lowering.ref(tensor)
    turned = lowering.temp(tensor.nbytes)
    lowering.shift(turned, lowering.ref(tensor), f"{tensor.name} in the form of {output.name}")
    return turned


def lower_bucketize(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    op = f"bucketize_{_ORDERED.get(source.dtype)}"
    if lowering.kernels.pick(op) is None:
        return f"bucketize of {source.dtype}"
    boundaries = np.asarray(attr(node, "boundaries", ()), np.float32)
    refs = [lowering.ref(output), lowering.ref(source), lowering.const(np.append(boundaries, np.float32(0)))]
    lowering.step(op, {"count": boundaries.size}, refs, units=output.elements)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "topk_v2": lower_topk, "cumsum": lower_cumsum, **dict.fromkeys(_SEGMENT, lower_segment),
    "sparse_to_dense": lower_sparse_to_dense, "bucketize": lower_bucketize,
}  # fmt: skip
