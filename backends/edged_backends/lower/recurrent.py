"""Recurrent layers: SVDF."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.model import DType, Node
from edged.graph.ops.spec import attr
from edged_backends.lower.scale import clamp_f32, multiplier
from edged_backends.lowering import Lowering, Quant

_INTEGER = {
    (DType.INT8, DType.INT8, DType.INT16, DType.INT16): "svdf_s8_s16",
    (DType.INT8, DType.INT8, DType.INT8, DType.INT8): "svdf_s8_s8",
}
"""By the types of input, feature weights, time weights and state."""


def lower_svdf(lowering: Lowering, node: Node) -> str | None:
    source, feature, time, state = (node.input(i) for i in (0, 1, 2, 4))
    kinds = (source.dtype, feature.dtype, time.dtype, state.dtype)
    rank = int(attr(node, "rank", 1))
    shape: dict[str, int | float] = {
        "depth": source.shape[1], "units": feature.shape[0] // rank, "rank": rank, "memory": time.shape[1],
    }  # fmt: skip
    if set(kinds) == {DType.FLOAT32}:
        low, high = clamp_f32(node)
        op, own = "svdf_f32", {"low": low, "high": high}
    elif kinds in _INTEGER:
        op, own = _INTEGER[kinds], _integer_params(lowering, node)
    else:
        return f"an SVDF of {', '.join(map(str, kinds))}"
    bias = node.optional(3)
    refs = [lowering.ref(node.outputs[0]), *(lowering.ref(t) for t in (state, source, feature, time))]
    refs_with_bias = [*refs, None if bias is None else lowering.ref(bias)]
    units = source.shape[0] * int(shape["units"])
    lowering.step(op, {**shape, **own}, refs_with_bias, units=units, writes=2)
    return None


def _integer_params(lowering: Lowering, node: Node) -> dict[str, float]:
    source, feature, time, state = (lowering.internal(node.input(i)) for i in (0, 1, 2, 4))
    output = lowering.internal(node.outputs[0])
    mul_in, shift_in = multiplier(_effective(source, feature, state))
    mul_out, shift_out = multiplier(_effective(state, time, output))
    return {
        "zero_in": source.zero_point, "zero_state": state.zero_point, "zero_out": output.zero_point,
        "mul_in": mul_in, "shift_in": shift_in, "mul_out": mul_out, "shift_out": shift_out,
    }  # fmt: skip


def _effective(a: Quant, b: Quant, to: Quant) -> float:
    """TFLite computes these scales in float32."""
    return float(np.float32(a.scale) * np.float32(b.scale) / np.float32(to.scale))


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {"svdf": lower_svdf}
