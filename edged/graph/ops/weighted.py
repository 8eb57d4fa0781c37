"""What layers with weights share: integer sums to outputs, and float inputs to integer weights (hybrid).

Integer sums are exact: products of 8- and 16-bit values are added in float64 by BLAS, which is exact below
2**53.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.model import DType, Node, Quantization, Tensor
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.spec import attr, quantised

Array = np.ndarray[Any, np.dtype[Any]]

_NARROW = (DType.INT8, DType.UINT8, DType.INT4, DType.INT2)


def scales_of(quantization: Quantization | None, channels: int) -> Array:
    """One float32 scale per output channel."""
    scales = np.array(quantization.scales if quantization else (1.0,), np.float32)
    return np.broadcast_to(scales, (channels,)) if scales.size == 1 else scales


def zero_point(tensor: Tensor) -> int:
    """The tensor's zero point; 0 without quantisation."""
    return tensor.quantization.zero_point if tensor.quantization else 0


def centred(tensor: Tensor, values: Array) -> Array:
    """Stored values less the zero point, in float64, for exact sums."""
    offset = zero_point(tensor)
    wide = values.astype(np.float64)
    return wide - offset if offset else wide


def is_hybrid(node: Node) -> bool:
    """Float activations with integer weights: the input is quantised as it comes."""
    return node.input(0).dtype is DType.FLOAT32 and node.input(1).dtype in _NARROW


def integer(node: Node) -> bool:
    """Is the node to be computed in integers throughout?"""
    return quantised(node.input(0)) and quantised(node.outputs[0])


def hybrid_weights(weights: Array) -> Array:
    """Hybrid weights as float64: symmetric; old files call the bytes uint8, TFLite reads them as int8."""
    return (weights.view(np.int8) if weights.dtype == np.uint8 else weights).astype(np.float64)


def exact_matmul(a: Array, b: Array) -> Array:
    """a @ b of integers, exact, as int64."""
    return (a.astype(np.float64, copy=False) @ b.astype(np.float64, copy=False)).astype(np.int64)


def add_bias(total: Array, bias: Array | None) -> Array:
    """Integer sums plus the bias, in int64."""
    total = total.astype(np.int64, copy=False)
    return total if bias is None else total + bias.astype(np.int64)


def requantise(node: Node, accumulator: Array, channels: int) -> Array:
    """int sums (..., channels), bias included -> the node's output dtype, with its fused activation.

    int16 activations use the 64-bit multiplier, unless their bias is int32.
    """
    multipliers, shifts = fp.quantize_multipliers(effective_scales(node, channels))
    if node.input(0).dtype is DType.INT16 and wide_bias(node):
        scaled = fp.multiply_by_quantized_multiplier_64(accumulator, multipliers, shifts)
    else:
        scaled = fp.multiply_by_quantized_multiplier(accumulator, multipliers, shifts)
    return clamped(node, scaled)


def clamped(node: Node, scaled: Array) -> Array:
    """Integers without a zero point -> the node's output dtype, with its zero point and fused activation."""
    result = node.outputs[0]
    assert result.quantization is not None
    activation, zero = attr(node, "fused_activation_function", "NONE"), result.quantization.zero_point
    low, high = fp.activation_range(activation, result.quantization.scale, zero, str(result.dtype))
    stored: Array = np.clip(scaled + zero, low, high).astype(str(result.dtype))
    return stored


def effective_scales(node: Node, channels: int) -> Array:
    """input * weight / output in double precision, one per channel.

    Where LiteRT has one multiplier for all channels (uint8, and dense layers with one scale), its
    GetQuantizedConvolutionMultipler rounds the product of the two scales to float32 first; the TFLite Micro
    wheel does not. This follows Micro, and LiteRT in what Micro does not run (uint8, dense int16 weights).
    """
    source, weights, result = node.input(0).quantization, node.input(1), node.outputs[0].quantization
    assert source is not None
    assert result is not None
    scales = np.array(weights.quantization.scales if weights.quantization else (1.0,), np.float32)
    rounded = node.input(0).dtype is DType.UINT8 or (
        node.op == "fully_connected" and weights.dtype is DType.INT16
    )
    if scales.size == 1 and rounded:
        product = (np.float32(source.scale) * scales).astype(np.float64)
    else:
        product = np.float64(np.float32(source.scale)) * scales.astype(np.float64)
    effective: Array = np.broadcast_to(product / np.float64(np.float32(result.scale)), (channels,))
    return effective


def wide_bias(node: Node) -> bool:
    """True for a 64-bit accumulator: int16 activations with int16 weights or a bias that is not int32."""
    if node.input(1).dtype is DType.INT16:
        return True
    bias = node.optional(2)
    if bias is None:
        return str(attr(node, "quantized_bias_type", "")) != "INT32"
    return bias.dtype is DType.INT64


def quantise_rows(rows: Array, asymmetric: bool) -> tuple[Array, Array, Array]:
    """float32 (rows, n) -> (int8 values in float64 (rows, n), float32 scales, int zero points).

    tensor_utils' SymmetricQuantizeFloats and AsymmetricQuantizeFloats, a row at a time.
    """
    rows = rows.astype(np.float32, copy=False)
    return _asymmetric(rows) if asymmetric else _symmetric(rows)


def _symmetric(rows: Array) -> tuple[Array, Array, Array]:
    largest = np.abs(rows).max(axis=1, initial=0).astype(np.float32)
    flat = largest == 0
    safe = np.where(flat, np.float32(1), largest)
    scales = np.where(flat, np.float32(1), safe / np.float32(127))
    inverse = np.float32(127) / safe
    values = np.clip(fp.round_half_away(rows * inverse[:, None]), -127, 127)
    return values.astype(np.float64), scales, np.zeros(len(rows), np.int64)


def _asymmetric(rows: Array) -> tuple[Array, Array, Array]:
    low = np.minimum(rows.min(axis=1, initial=0), 0).astype(np.float64)
    high = np.maximum(rows.max(axis=1, initial=0), 0).astype(np.float64)
    flat = low == high
    scale = np.where(flat, 1.0, (high - low) / 255.0)
    from_low, from_high = -128 - low / scale, 127 - high / scale
    nearer = 128 + np.abs(low / scale) < 127 + np.abs(high / scale)
    zero = np.clip(fp.round_half_away(np.where(nearer, from_low, from_high)), -128, 127)
    zero = np.where(flat, 0, zero)
    scales = scale.astype(np.float32)
    steps = rows * (np.float32(1) / scales)[:, None]
    values = np.clip(fp.round_half_away(zero.astype(np.float32)[:, None] + steps), -128, 127)
    return np.where(flat[:, None], 0, values).astype(np.float64), scales, zero.astype(np.int64)


def float_result(node: Node, values: Array) -> Array:
    """Float sums -> float32 with the node's fused activation."""
    return fp.activate(values.astype(np.float32), attr(node, "fused_activation_function", "NONE"))
