"""Fixed-point forms of real factors, and the clamps of fused activations, as TFLite computes them at load.
No rule stands here."""

from __future__ import annotations

import math

import numpy as np

from edged.graph.model import DType, Node
from edged.graph.ops.spec import attr
from edged_backends.lowering import Quant, RefusedError

LIMITS: dict[DType, tuple[int, int]] = {
    DType.INT8: (-128, 127), DType.UINT8: (0, 255), DType.INT16: (-32768, 32767), DType.INT32: (-(2**31),
    2**31 - 1),
}  # fmt: skip
INFINITE = float(np.finfo(np.float32).max)


def multiplier(real: float) -> tuple[int, int]:
    """(m, shift) with real = m * 2^(shift - 31), m in [2^30, 2^31): TFLite's QuantizeMultiplier."""
    if real == 0.0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    m = _rounded(fraction * (1 << 31))
    if m == 1 << 31:
        m, exponent = m // 2, exponent + 1
    if exponent < -31:
        return 0, 0
    if exponent > 30:
        return (1 << 31) - 1, 30
    return m, exponent


def _rounded(x: float) -> int:
    return math.floor(x + 0.5) if x >= 0 else -math.floor(-x + 0.5)


def clamp_f32(node: Node) -> tuple[float, float]:
    """Bounds of the fused activation of a float node. RefusedError for TANH and SIGN_BIT, which are no
    clamps."""
    name = attr(node, "fused_activation_function", "NONE")
    bounds = {
        "NONE": (-math.inf, math.inf), "RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0,
        1.0),
    }.get(name)  # fmt: skip
    if bounds is None:
        raise RefusedError(f"the fused activation {name}")
    return bounds


def clamp_q(node: Node, quant: Quant) -> tuple[int, int]:
    """Bounds of the fused activation in the output's quantised units (CalculateActivationRangeQuantized)."""
    least, most = LIMITS[quant.dtype]
    low, high = clamp_f32(node)

    def units(x: float) -> int:
        ratio = np.float32(x) / np.float32(quant.scale)
        return quant.zero_point + _rounded(float(ratio))

    return (
        max(least, units(low)) if math.isfinite(low) else least,
        min(most, units(high)) if math.isfinite(high) else most,
    )


def clamp_s32(node: Node) -> tuple[int, int]:
    """Bounds of the fused activation on plain integers."""
    low, high = clamp_f32(node)
    least, most = LIMITS[DType.INT32]
    return (int(low) if math.isfinite(low) else least, int(high) if math.isfinite(high) else most)


def weighted_scales(node: Node, channels: int) -> list[float]:
    """input scale * weight scale / output scale of each output channel, in double of the float32 scales.

    With uint8 activations, TFLite rounds the product of the two to float32 first.
    """
    source, weights, output = (t.quantization for t in (node.input(0), node.input(1), node.outputs[0]))
    assert source is not None
    assert weights is not None
    assert output is not None
    own, out = np.float32(source.scale), float(np.float32(output.scale))
    scales = [np.float32(s) for s in weights.scales]
    if len(scales) == 1:
        scales *= channels
        if node.input(0).dtype is DType.UINT8:
            return [float(own * s) / out for s in scales]
    return [float(own) * float(s) / out for s in scales]
