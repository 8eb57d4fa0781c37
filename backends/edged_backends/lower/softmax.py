"""Normalisations along the last axis: softmax, log_softmax, l2_normalization,
local_response_normalization."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.fixedpoint_functions import exp_on_negative_values
from edged.graph.ops.lut import input_radius
from edged.graph.ops.softmax import steps_16, tables_16
from edged.graph.ops.spec import attr
from edged_backends.lower.scale import multiplier
from edged_backends.lowering import Lowering

_F32 = {"softmax": "softmax_f32", "log_softmax": "log_softmax_f32", "l2_normalization": "l2_norm_f32"}
_INPUT_BITS = 5
"""Integer bits of the scaled differences (kScaledDiffIntegerBits)."""


def lower_rows(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if node.op == "softmax" and lowering.internal(source).dtype is DType.INT8:
        return _softmax_s8(lowering, node)
    if node.op == "softmax" and source.dtype is output.dtype is DType.INT16:
        _softmax_s16(lowering, node)
        return None
    if node.op in _S8 and lowering.internal(source).dtype is lowering.internal(output).dtype is DType.INT8:
        return _S8[node.op](lowering, node)
    if source.dtype is not DType.FLOAT32 or output.dtype is not DType.FLOAT32:
        return f"{node.op} of {source.dtype}"
    if node.op == "l2_normalization" and attr(node, "fused_activation_function", "NONE") != "NONE":
        return "a fused activation"
    depth = source.shape[-1] if source.shape else 1
    params = {"depth": depth, "beta": float(attr(node, "beta", 0.0)) if node.op == "softmax" else 1.0}
    refs = [lowering.ref(output), lowering.ref(source)]
    rows = source.elements // max(depth, 1)
    lowering.step(_F32[node.op], params, refs, units=rows, work=8 * source.elements)
    return None


def lower_lrn(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if source.dtype is not DType.FLOAT32:
        return f"{node.op} of {source.dtype}"
    depth = source.shape[-1] or 1
    params = {
        "depth": depth, "radius": int(attr(node, "radius", 5)), "bias": float(attr(node, "bias", 1.0)),
        "alpha": float(attr(node, "alpha", 1.0)), "beta": float(attr(node, "beta", 0.5)),
    }  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step("lrn_f32", params, refs, units=source.elements // depth, work=40 * source.elements)
    return None


# ---- 8 bits ----


def _softmax_s8(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    mine, to = lowering.internal(source), lowering.internal(output)
    op = {DType.INT8: "softmax_s8", DType.INT16: "softmax_s8_s16"}.get(to.dtype)
    if op is None:
        return f"softmax of {source.dtype} to {output.dtype}"
    table = exp_table(mine.scale, float(attr(node, "beta", 0.0)))
    depth = source.shape[-1] or 1
    refs = [lowering.ref(output), lowering.ref(source), lowering.const(table)]
    lowering.step(op, {"depth": depth}, refs, units=source.elements // depth, work=8 * source.elements)
    return None


def exp_table(scale: float, beta: float) -> Array:
    """int32 [256]: exp(-i * scale * beta) as Q0.31 by gemmlowp's arithmetic, 0 past the least difference
    that counts."""
    bits = 31 - _INPUT_BITS
    real = min(float(np.float32(beta)) * float(np.float32(scale)) * (1 << bits), (1 << 31) - 1.0)
    m, shift = multiplier(real)
    most = ((1 << _INPUT_BITS) - 1) * (1 << bits) / (1 << max(shift, 0))
    differences = -np.arange(256, dtype=np.int64)
    scaled = fp.multiply_by_quantized_multiplier(differences, m, shift)
    counted = -differences <= np.floor(most)
    return np.where(counted, exp_on_negative_values(np.where(counted, scaled, 0), _INPUT_BITS), 0).astype(
        np.int32
    )


def _l2_norm_s8(lowering: Lowering, node: Node) -> str | None:
    """TFLite takes the 7 bits of the result before its multiplication for uint8, with it for int8."""
    source, output = node.input(0), node.outputs[0]
    mine, depth = lowering.internal(source), source.shape[-1] or 1
    if not mine.scales or lowering.is_shifted(source) != lowering.is_shifted(output):
        return f"l2_normalization of plain {source.dtype}"
    before = 7 if lowering.is_shifted(source) else 0
    params = {"depth": depth, "zero_in": mine.zero_point, "before": before, "after": 7 - before}
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step("l2_norm_s8", params, refs, units=source.elements // depth, work=8 * source.elements)
    return None


def _log_softmax_s8(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    mine, depth = lowering.internal(source), source.shape[-1] or 1
    if not mine.scales or depth >= _LONGEST:
        return f"log_softmax of {depth} elements of {source.dtype}"
    bits = 31 - _INPUT_BITS
    m, shift = multiplier(min(float(np.float32(mine.scale)) * (1 << bits), (1 << 31) - 1.0))
    reverse, reverse_shift = multiplier(2.0 ** (31 - shift) / m)
    params = {
        "depth": depth, "multiplier": m, "shift": shift, "least": -input_radius(_INPUT_BITS, shift, 31),
        "reverse": reverse, "reverse_shift": reverse_shift,
    }  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(source), lowering.const(exp_table(mine.scale, 1.0))]
    lowering.step("log_softmax_s8", params, refs, units=source.elements // depth, work=16 * source.elements)
    return None


_LONGEST = 4096
"""Exponentials with 12 integer bits of which an int32 holds the sum."""
_S8: dict[str, Callable[[Lowering, Node], str | None]] = {
    "l2_normalization": _l2_norm_s8, "log_softmax": _log_softmax_s8,
}  # fmt: skip


def _softmax_s16(lowering: Lowering, node: Node) -> None:
    source = node.input(0)
    depth = source.shape[-1] or 1
    m, shift = multiplier(steps_16(node))
    tables = [lowering.const(np.asarray(table).astype(np.int16)) for table in tables_16()]
    refs = [lowering.ref(node.outputs[0]), lowering.ref(source), *tables]
    params = {"depth": depth, "multiplier": m, "shift": shift}
    lowering.step("softmax_s16", params, refs, units=source.elements // depth, work=16 * source.elements)


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    **dict.fromkeys(_F32, lower_rows), "local_response_normalization": lower_lrn,
}  # fmt: skip
