"""BATCH_MATMUL: products of two tensors, neither of which need be constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.fixedpoint import quantize_multipliers
from edged.graph.ops.spec import attr
from edged.graph.ops.weighted import effective_scales
from edged_backends.lower.gemm import lower_fully_connected
from edged_backends.lower.scale import LIMITS
from edged_backends.lowering import Lowering

_SUFFIX = {DType.FLOAT32: "f32", DType.INT8: "s8", DType.INT16: "s16"}
ROWS = 4
"""Rows of a unit (gemm/wide.inc)."""


def lower_batch_matmul(lowering: Lowering, node: Node) -> str | None:
    tensors = (node.input(0), node.input(1), node.outputs[0])
    a, b, output = (lowering.internal(t) for t in tensors)
    if (a.dtype, b.dtype, output.dtype) == (DType.FLOAT32, DType.INT8, DType.FLOAT32) and b.scales:
        return _hybrid(lowering, node)
    suffix = _SUFFIX.get(a.dtype)
    if suffix is None or b.dtype is not a.dtype or output.dtype is not a.dtype:
        return f"a product of {a.dtype} and {b.dtype} to {output.dtype}"
    if suffix == "s16" and (a.zero_point or b.zero_point or output.zero_point):
        return "int16 with a zero point"
    batch = node.outputs[0].shape[:-2]
    if len(batch) > 3:
        return f"{len(batch)} batch dimensions; the kernel has 3"
    rows, columns = node.outputs[0].shape[-2:]
    left, right = node.input(0), node.input(1)
    a_row, a_depth = _strides(left, attr(node, "adj_x", False))
    b_depth, b_column = _strides(right, attr(node, "adj_y", False))
    depth = left.shape[-2] if attr(node, "adj_x", False) else left.shape[-1]
    params = {
        "rows": rows, "depth": depth, "columns": columns, "a_row": a_row, "a_depth": a_depth,
        "b_depth": b_depth, "b_column": b_column, **_scaling(lowering, node, suffix),
    }  # fmt: skip
    counts = [1] * (3 - len(batch)) + list(batch)
    for i in range(3):
        params[f"n{i}"] = counts[i]
    for letter, tensor in (("a", left), ("b", right)):
        params.update({f"{letter}{i}": s for i, s in enumerate(_batch_strides(tensor, counts))})
    refs = [lowering.ref(t) for t in (node.outputs[0], left, right)]
    units = prod(counts) * -(-rows // ROWS)
    lowering.step(f"matmul_{suffix}", params, refs, units=units, work=prod(counts) * rows * depth * columns)
    return None


def _hybrid(lowering: Lowering, node: Node) -> str | None:
    """Floats times one constant matrix of int8: the same as a fully connected layer."""
    right = node.input(1)
    values = lowering.value(right)
    if values is None or prod(right.shape[:-2]) != 1 or attr(node, "adj_x", False):
        return "a product of floats, transposed, or with int8 matrices that are many or not constant"
    matrix = values.reshape(right.shape[-2:])
    weights = np.ascontiguousarray(matrix if attr(node, "adj_y", False) else matrix.T)
    turned = replace(right, shape=weights.shape, data=memoryview(weights.tobytes()))
    layer = replace(node, op="fully_connected", inputs=(node.input(0), turned))
    return lower_fully_connected(lowering, layer)


def _strides(tensor: Tensor, swapped: bool) -> tuple[int, int]:
    """Elements from one row to the next and from one column to the next, of the matrix as it is used."""
    own = (tensor.shape[-1], 1)
    return (own[1], own[0]) if swapped else own


def _batch_strides(tensor: Tensor, counts: Sequence[int]) -> list[int]:
    """Elements from one matrix to the next along each of three batch dimensions; 0 where it is broadcast."""
    shape = [1] * (5 - len(tensor.shape)) + list(tensor.shape)
    strides, step = [0, 0, 0], shape[3] * shape[4]
    for i in (2, 1, 0):
        strides[i] = step if shape[i] == counts[i] and counts[i] > 1 else 0
        step *= shape[i]
    return strides


def _scaling(lowering: Lowering, node: Node, suffix: str) -> dict[str, int]:
    names = ("a_zero", "b_zero", "output_zero", "multiplier", "shift", "act_min", "act_max")
    if suffix == "f32":
        return dict.fromkeys(names, 0)
    a, b, output = (lowering.internal(t) for t in (node.input(0), node.input(1), node.outputs[0]))
    multipliers, shifts = quantize_multipliers(effective_scales(node, 1))
    zeros = (a.zero_point, b.zero_point, output.zero_point)
    return dict(zip(names, (*zeros, int(multipliers[0]), int(shifts[0]), *LIMITS[output.dtype]), strict=True))


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {"batch_matmul": lower_batch_matmul}
