"""L2_NORMALIZATION (float32, int8, uint8) and LOCAL_RESPONSE_NORMALIZATION (float32), over the last
dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.broadcast import infer_same, operand, saturate, zero_point_of
from edged.graph.ops.fixedpoint_functions import inverse_sqrt_multiplier
from edged.graph.ops.spec import Array, Arrays, OpSpec, attr, quantised

_EPSILON = np.float32(1e-6)
"""The least norm a float vector is divided by."""


def l2_quantised(node: Node, x: Array) -> Array:
    """By an inverse square root in fixed point; the output is in 1/128 around 0 (uint8: around 128)."""
    values = x.astype(np.int64) - zero_point_of(node.input(0))
    totals = fp.wrap_int32((values * values).sum(axis=-1))
    pairs = [inverse_sqrt_multiplier(int(total)) for total in totals.reshape(-1)]
    shape = (*totals.shape, 1)
    multiplier = np.array([m for m, _ in pairs], np.int64).reshape(shape)
    right = np.array([r for _, r in pairs], np.int64).reshape(shape)
    if x.dtype == np.uint8:
        scaled = fp.multiply_by_quantized_multiplier(values * 128, multiplier, -right) + 128
    else:
        scaled = fp.multiply_by_quantized_multiplier(values, multiplier, 7 - right)
    return saturate(scaled, x.dtype)


def l2_normalization(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    if x.ndim == 0:
        raise ShapeError(f"{node.where}: L2_NORMALIZATION takes at least one dimension")
    if quantised(node.input(0)):
        if x.dtype.itemsize > 1:
            raise UnsupportedError(
                f"{node.where}: quantised L2_NORMALIZATION takes 8-bit integers, not {x.dtype}"
            )
        return [l2_quantised(node, x)]
    real = x.astype(np.float64)
    norm = np.sqrt((real * real).sum(axis=-1, keepdims=True))
    return [(real / np.maximum(norm, _EPSILON)).astype(x.dtype)]


def local_response_normalization(node: Node, arrays: Arrays) -> Sequence[Array]:
    """x * (bias + alpha * sum of squares within `radius` channels) ** -beta.

    LiteRT's optimised kernel sums channel - radius ... channel + radius, as TensorFlow.
    """
    x = operand(arrays, 0)
    if x.ndim != 4:
        raise ShapeError(f"{node.where}: the input must have 4 dimensions, it has shape {x.shape}")
    radius = int(attr(node, "radius", 0))
    real = x.astype(np.float64)
    squares = np.concatenate([np.zeros((*x.shape[:3], 1)), np.cumsum(real * real, axis=-1)], axis=-1)
    channel = np.arange(x.shape[3])
    above = np.minimum(channel + radius + 1, x.shape[3])
    total = squares[..., above] - squares[..., np.maximum(channel - radius, 0)]
    bias, alpha, beta = (float(attr(node, name, 0.0)) for name in ("bias", "alpha", "beta"))
    return [(real * (bias + alpha * total) ** -beta).astype(x.dtype)]


OPS: tuple[OpSpec, ...] = (
    OpSpec("l2_normalization", infer_same, l2_normalization, {"fused_activation_function": "NONE"}),
    OpSpec(
        "local_response_normalization",
        infer_same,
        local_response_normalization,
        {"radius": 0, "bias": 0.0, "alpha": 0.0, "beta": 0.0},
    ),
)
