"""Reductions over any set of axes, and arg_max, arg_min."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from edged.graph.arrays import constant
from edged.graph.model import DType, Node
from edged.graph.ops.spec import quantised
from edged_backends.lower.scale import LIMITS, multiplier
from edged_backends.lowering import Lowering, RefusedError

_STEMS = {
    "sum": "sum", "mean": "mean", "reduce_prod": "prod", "reduce_max": "reduce_max",
    "reduce_min": "reduce_min",
    "reduce_any": "any", "reduce_all": "all",
}  # fmt: skip
_SUFFIX = {
    DType.FLOAT32: "f32", DType.INT8: "s8", DType.INT16: "s16", DType.INT32: "s32", DType.INT64: "s64",
    DType.BOOL: "bool",
}  # fmt: skip
RANK = 4


def axes_of(node: Node) -> frozenset[int]:
    """The reduced axes. RefusedError when they are known only at run time."""
    tensor = node.input(1)
    if not tensor.constant:
        raise RefusedError(f"its axes ({tensor.name}) are known only at run time")
    rank = len(node.input(0).shape)
    return frozenset(int(a) % rank for a in constant(tensor).reshape(-1)) if rank else frozenset()


def layout(shape: tuple[int, ...], axes: frozenset[int]) -> tuple[dict[str, int], int]:
    """(k, s, r, t fields of the params, units). RefusedError where more than RANK dimensions of a kind
    remain after merging."""
    merged: list[tuple[int, bool]] = []
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        if merged and merged[-1][1] == (axis in axes):
            merged[-1] = (merged[-1][0] * n, merged[-1][1])
        else:
            merged.append((n, axis in axes))
    kept: list[tuple[int, int]] = []
    gone: list[tuple[int, int]] = []
    stride = 1
    for n, reduced in reversed(merged):
        (gone if reduced else kept).insert(0, (n, stride))
        stride *= n
    if max(len(kept), len(gone)) > RANK:
        raise RefusedError(f"a reduction over {len(merged)} alternating dimensions")
    params: dict[str, int] = {}
    for count, step, dims in (("k", "s", kept), ("r", "t", gone)):
        for i, (n, stride) in enumerate([(1, 0)] * (RANK - len(dims)) + dims):
            params[f"{count}{i}"], params[f"{step}{i}"] = n, stride
    return params, params["k0"] * params["k1"] * params["k2"]


def lower_reduce(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    mine, to = lowering.internal(source), lowering.internal(output)
    suffix = _SUFFIX.get(mine.dtype)
    ordered = node.op in ("reduce_max", "reduce_min")
    if source.elements == 0:
        return "a reduction of an empty tensor"
    if quantised(source) and node.op in ("sum", "mean"):
        return _scaled_sum(lowering, node)
    if quantised(source) and node.op == "reduce_prod":
        return _scaled_product(lowering, node)
    if quantised(source) and (not ordered or mine != to):
        return f"{node.op} of quantised {source.dtype}"
    if ordered and mine.dtype is DType.UINT8:
        suffix = "u8"
    axes = axes_of(node)
    op = f"{_STEMS[node.op]}_{suffix}"
    if suffix is None or lowering.kernels.pick(op) is None:
        return f"{node.op} of {source.dtype}"
    params, units = layout(source.shape, axes)
    count = prod(source.shape[a] for a in axes)
    if op in ("mean_s32", "mean_s64") and count >= _EXACT:
        return f"a mean of {count} integers"
    factor = 1.0 / count if suffix == "f32" else float(count)
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(op, {**params, "factor": factor}, refs, units=units, work=source.elements)
    return None


_EXACT = 1 << 24
"""Counts below it are exact as float32."""


def _scaled_product(lowering: Lowering, node: Node) -> str | None:
    """Each factor times input scale / nth root of the output scale; one alone is copied as it is."""
    source, output = node.input(0), node.outputs[0]
    mine, to = lowering.internal(source), lowering.internal(output)
    if mine.dtype not in (DType.INT8, DType.INT16) or to.dtype is not mine.dtype or not to.scales:
        return f"{node.op} of quantised {source.dtype} to {output.dtype}"
    axes = axes_of(node)
    count = prod(source.shape[a] for a in axes)
    if count == 1:
        lowering.copy(lowering.ref(output), lowering.ref(source), "a product of one factor")
        return None
    m, shift = multiplier(float(np.float32(mine.scale)) / float(np.float32(to.scale)) ** (1.0 / count))
    if shift >= _WIDEST:
        return f"a product whose factors are {2.0**shift:g} times too large"
    params, units = layout(source.shape, axes)
    own = {"zero_in": mine.zero_point, "multiplier": m, "shift": shift, "zero_out": to.zero_point}
    refs = [lowering.ref(output), lowering.ref(source)]
    op = f"scaled_prod_{_SUFFIX[mine.dtype]}"
    lowering.step(op, {**params, **_MORE, **own}, refs, units=units, work=4 * source.elements)
    return None


_WIDEST = 14
"""A shift to the left that a multiplier of 16 bits has no room for."""
_MORE: dict[str, int | float] = {
    "zero_in": 0, "multiplier": 0, "shift": 0, "zero_out": 0, "offset": 0, "scale": 0.0, "bias": 0.0,
}  # fmt: skip


def _float_sum(lowering: Lowering, node: Node) -> None:
    """TFLite's uint8 form: one float32 multiplication and addition."""
    source, output = node.input(0), node.outputs[0]
    mine, to, axes = lowering.internal(source), lowering.internal(output), axes_of(node)
    count = prod(source.shape[a] for a in axes)
    scale = np.float32(mine.scale) / np.float32(to.scale)
    bias = np.float32(-(mine.zero_point + 128)) * scale * np.float32(count)
    params, units = layout(source.shape, axes)
    own = {"scale": float(scale), "bias": float(bias), "offset": 128 * count, "zero_out": to.zero_point}
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step("float_sum_s8", {**params, **_MORE, **own}, refs, units=units, work=source.elements)


def _scaled_sum(lowering: Lowering, node: Node) -> str | None:
    """Quantised sum and mean: the count of a mean is divided into the multiplier, as QuantizedMeanOrSum
    does."""
    source, output = node.input(0), node.outputs[0]
    mine, to = lowering.internal(source), lowering.internal(output)
    if mine.dtype not in (DType.INT8, DType.INT16) or to.dtype is not mine.dtype:
        return f"{node.op} of quantised {source.dtype} to {output.dtype}"
    if node.op == "sum" and lowering.is_shifted(source):
        _float_sum(lowering, node)
        return None
    axes = axes_of(node)
    count = prod(source.shape[a] for a in axes)
    m, shift = multiplier(float(np.float32(mine.scale)) / float(np.float32(to.scale)))
    if node.op == "mean":
        more = min(count.bit_length() - 1, 32, 31 + shift)
        m, shift = (m << more) // count, shift - more
    if mine.zero_point * count >= 1 << 31 or count >= 1 << 16:
        return f"a sum of {count} elements, which may pass 32 bits"
    params, units = layout(source.shape, axes)
    low, high = LIMITS[to.dtype]
    own = {
        "zero_in": mine.zero_point, "multiplier": m, "shift": shift, "zero_out": to.zero_point,
        "bias": mine.zero_point * count, "low": low, "high": high,
    }  # fmt: skip
    over_image = len(source.shape) == len(output.shape) == 4 and axes == {1, 2}
    if node.op == "mean" and lowering.is_shifted(source) and over_image:
        own.update(_mean_over_image(node, count))
    refs = [lowering.ref(output), lowering.ref(source)]
    op = f"scaled_sum_{_SUFFIX[mine.dtype]}"
    lowering.step(op, {**params, **own}, refs, units=units, work=source.elements)
    return None


def _mean_over_image(node: Node, count: int) -> dict[str, int]:
    """TFLite's own form for uint8: the stored sum is rescaled, the zero points are rounded into one bias."""
    source, output = node.input(0).quantization, node.outputs[0].quantization
    assert source is not None
    assert output is not None
    own, out = np.float32(source.scale), np.float32(output.scale)
    offset = np.float32(source.zero_point) * own / out
    bias = int(offset + np.float32(0.5 if offset > 0 else -0.5))
    m, shift = multiplier(float(own / (np.float32(count) * out)))
    zero = output.zero_point - bias - 128
    return {"multiplier": m, "shift": shift, "zero_out": zero, "bias": -128 * count}


def lower_arg(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    suffix = {**_SUFFIX, DType.UINT8: "u8", DType.BOOL: "u8"}.get(lowering.internal(source).dtype)
    op = f"{node.op}_{suffix}"
    if suffix is None or lowering.kernels.pick(op) is None:
        return f"{node.op} of {source.dtype}"
    axis = next(iter(axes_of(node)), 0)
    params = {
        "axis": source.shape[axis], "inner": prod(source.shape[axis + 1 :]),
        "wide": int(output.dtype is DType.INT64),
    }  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step(op, params, refs, units=prod(source.shape[:axis]), work=source.elements)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    **dict.fromkeys(_STEMS, lower_reduce), "arg_max": lower_arg, "arg_min": lower_arg,
}  # fmt: skip
