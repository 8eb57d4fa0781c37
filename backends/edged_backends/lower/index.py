"""Data movement by indices that come out of tensors: gather, scatter, one-hot, reverse-sequence, fill,
embedding lookup."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from edged.graph.arrays import constant
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.spec import attr, quantised
from edged_backends.lower.strides import fill, imagine, item_bytes, move
from edged_backends.lowering import Lowering, RefusedError


def wide(tensor: Tensor) -> int:
    """1 for int64 indices, 0 for int32; RefusedError for others."""
    if tensor.dtype not in (DType.INT32, DType.INT64):
        raise RefusedError(f"indices of {tensor.dtype}")
    return int(tensor.dtype is DType.INT64)


def lower_gather(lowering: Lowering, node: Node) -> str | None:
    source, index = node.input(0), node.input(1)
    axis = int(attr(node, "axis", 0)) % max(len(source.shape), 1)
    batch_dims = int(attr(node, "batch_dims", 0))
    batch_dims += len(index.shape) if batch_dims < 0 else 0
    return _gather(lowering, node.outputs[0], source, index, axis, batch_dims)


def lower_embedding_lookup(lowering: Lowering, node: Node) -> str | None:
    table, output = node.input(1), node.outputs[0]
    if table.dtype is DType.INT8 and output.dtype is DType.FLOAT32 and quantised(table):
        return _lookup_s8(lowering, node)
    if lowering.internal(table) != lowering.internal(output):
        return f"a lookup in {table.dtype} for {output.dtype}"
    return _gather(lowering, node.outputs[0], node.input(1), node.input(0), 0, 0)


def _lookup_s8(lowering: Lowering, node: Node) -> str | None:
    """Rows of int8 as floats, with one scale or one a row."""
    ids, table, output = node.input(0), node.input(1), node.outputs[0]
    scales = np.array(lowering.internal(table).scales, np.float32)
    rows = table.shape[0]
    if ids.dtype is not DType.INT32 or scales.size not in (1, rows) or not rows:
        return f"a lookup by {ids.dtype} in {rows} rows with {scales.size} scales"
    params = {"rows": rows, "inner": prod(table.shape[1:]), "single": int(scales.size == 1)}
    refs = [lowering.ref(output), lowering.ref(table), lowering.ref(ids), lowering.const(scales)]
    lowering.step("embedding_s8", params, refs, units=ids.elements)
    return None


def _gather(
    lowering: Lowering, output: Tensor, source: Tensor, index: Tensor, axis: int, batch_dims: int
) -> str | None:
    size = item_bytes(source)
    if source.shape[axis] == 0:
        return "a gather from an empty axis"
    params = {
        "outer": prod(source.shape[batch_dims:axis]), "axis": source.shape[axis],
        "count": prod(index.shape[batch_dims:]),
        "inner": prod(source.shape[axis + 1 :]) * size, "wide": wide(index),
    }  # fmt: skip
    rows = prod(source.shape[:axis]) * params["count"]
    lowering.step(
        "gather", params, [lowering.ref(output), lowering.ref(source), lowering.ref(index)], units=rows
    )
    return None


def leading(shape: tuple[int, ...], depth: int) -> dict[str, int]:
    """Fields n0 ... n4: the first `depth` dimensions. RefusedError for more than five."""
    if depth > 5:
        raise RefusedError(f"an index over {depth} dimensions; the kernel has 5")
    return {f"n{i}": shape[i] if i < depth else 1 for i in range(5)}


def lower_gather_nd(lowering: Lowering, node: Node) -> str | None:
    source, index, output = node.input(0), node.input(1), node.outputs[0]
    depth = index.shape[-1]
    if 0 in source.shape:
        return "a gather from an empty tensor"
    inner = prod(source.shape[depth:]) * item_bytes(source)
    params = {"depth": depth, "inner": inner, "wide": wide(index), **leading(source.shape, depth)}
    refs = [lowering.ref(t) for t in (output, source, index)]
    lowering.step("gather_nd", params, refs, units=prod(index.shape[:-1]))
    return None


_SCATTER = {
    DType.FLOAT32: "scatter_nd_f32", DType.INT8: "scatter_nd_s8", DType.INT32: "scatter_nd_s32",
    DType.INT64: "scatter_nd_s64",
}  # fmt: skip


def lower_scatter_nd(lowering: Lowering, node: Node) -> str | None:
    index, rows, output = node.input(0), node.input(1), node.outputs[0]
    op = _SCATTER.get(output.dtype)
    if op is None:
        return f"scatter of {output.dtype}"
    depth = index.shape[-1]
    params = {
        "depth": depth, "inner": prod(output.shape[depth:]), "wide": wide(index), **leading(output.shape,
        depth),
        "rows": prod(index.shape[:-1]),
    }  # fmt: skip
    lowering.step(op, params, [lowering.ref(output), lowering.ref(index), lowering.ref(rows)], units=1)
    return None


def lower_one_hot(lowering: Lowering, node: Node) -> None:
    index, output = node.input(0), node.outputs[0]
    axis = int(attr(node, "axis", -1)) % len(output.shape)
    params = {
        "depth": output.shape[axis], "inner": prod(output.shape[axis + 1 :]), "size": item_bytes(output),
        "wide": wide(index),
    }  # fmt: skip
    refs = [lowering.ref(t) for t in (output, index, node.input(2), node.input(3))]
    lowering.step("one_hot", params, refs, units=prod(output.shape[:axis]))


def lower_reverse_sequence(lowering: Lowering, node: Node) -> None:
    source, lengths = node.input(0), node.input(1)
    steps, batch = int(attr(node, "seq_dim", 0)), int(attr(node, "batch_dim", 0))
    low, high = sorted((steps, batch))
    shape = source.shape
    params = {
        "batch": shape[batch], "middle": prod(shape[low + 1 : high]), "steps": shape[steps],
        "inner": prod(shape[high + 1 :]) * item_bytes(source), "wide": wide(lengths),
        "steps_first": int(steps < batch),
    }  # fmt: skip
    refs = [lowering.ref(t) for t in (node.outputs[0], source, lengths)]
    lowering.step("reverse_sequence", params, refs, units=prod(shape[:low]))


def lower_fill(lowering: Lowering, node: Node) -> None:
    output = node.outputs[0]
    if output.elements:
        fill(lowering, lowering.ref(output), lowering.ref(node.input(1)), item_bytes(output))


def lower_zeros_like(lowering: Lowering, node: Node) -> None:
    output = node.outputs[0]
    zero = lowering.const(np.zeros(16, np.uint8), "zeros")
    fill(lowering, lowering.ref(output), zero, item_bytes(output))


def lower_constant(lowering: Lowering, node: Node) -> str | None:
    """shape, rank: known at load."""
    output = node.outputs[0]
    shape = node.input(0).shape
    value = np.array(len(shape) if node.op == "rank" else shape, dtype=str(output.dtype))
    if value.size == 0:
        return None
    flat = imagine(output, (value.size,))
    move(lowering, lowering.ref(output), flat, lowering.const(value), flat.copy())
    return None


def lower_dynamic_update_slice(lowering: Lowering, node: Node) -> str | None:
    source, update, begin = node.input(0), node.input(1), node.input(2)
    if not begin.constant:
        return f"its begins ({begin.name}) are known only at run time"
    output = node.outputs[0]
    bounds = zip(constant(begin).reshape(-1), source.shape, update.shape, strict=True)
    first = [int(min(max(b, 0), n - u)) for b, n, u in bounds]
    move(lowering, lowering.ref(output), imagine(output), lowering.ref(source), imagine(source))
    inside = imagine(output)[tuple(slice(b, b + n) for b, n in zip(first, update.shape, strict=True))]
    move(lowering, lowering.ref(output), inside, lowering.ref(update), imagine(update))
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "gather": lower_gather, "gather_nd": lower_gather_nd, "scatter_nd": lower_scatter_nd,
    "one_hot": lower_one_hot,
    "embedding_lookup": lower_embedding_lookup, "reverse_sequence": lower_reverse_sequence,
    "fill": lower_fill,
    "zeros_like": lower_zeros_like, "shape": lower_constant, "rank": lower_constant,
    "dynamic_update_slice": lower_dynamic_update_slice,
}  # fmt: skip
