"""What convolutions and fully connected layers share: integer accumulators to outputs, and dynamic-range
inputs.

Accumulators are exact: products of 8- and 16-bit values are summed in float64 by BLAS, which is exact below
2**53.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.model import DType, Node, Quantization, Tensor
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.spec import attr, quantised

Array = np.ndarray[Any, np.dtype[Any]]


def scales_of(quantization: Quantization | None, channels: int) -> Array:
    """One float32 scale per output channel."""
    scales = np.array(quantization.scales if quantization else (1.0,), np.float32)
    return np.broadcast_to(scales, (channels,)) if scales.size == 1 else scales


def zero_point(tensor: Tensor) -> int:
    """The tensor's zero point; 0 without quantisation."""
    return tensor.quantization.zero_point if tensor.quantization else 0


def is_hybrid(node: Node) -> bool:
    """Float activations with integer weights: the input is quantised as it comes."""
    return node.input(0).dtype is DType.FLOAT32 and node.input(1).dtype in (
        DType.INT8,
        DType.UINT8,
        DType.INT4,
        DType.INT2,
    )


def exact_matmul(a: Array, b: Array) -> Array:
    """a @ b of integers, exact, as int64."""
    return np.rint(a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)


def requantise(node: Node, accumulator: Array, channels: int) -> Array:
    """int accumulators (..., channels), bias included -> the node's output dtype, with its fused activation.

    TFLite: the effective scale is input * weight / output in double precision of float32 scales. int16
    activations with an int64
    bias use the 64-bit multiplier; with an int32 bias, the 32-bit one.
    """
    result = node.outputs[0]
    assert result.quantization is not None
    multipliers, shifts = fp.quantize_multipliers(_effective_scales(node, channels))
    if node.input(0).dtype is DType.INT16 and wide_bias(node):
        scaled = fp.multiply_by_quantized_multiplier_64(accumulator, multipliers, shifts)
    else:
        scaled = fp.multiply_by_quantized_multiplier(accumulator, multipliers, shifts)
    activation = attr(node, "fused_activation_function", "NONE")
    low, high = fp.activation_range(
        activation, result.quantization.scale, result.quantization.zero_point, str(result.dtype)
    )
    return np.clip(scaled + result.quantization.zero_point, low, high).astype(str(result.dtype))


def _effective_scales(node: Node, channels: int) -> Array:
    """input * weight / output, one per channel (one where the weights have one).

    Where TFLite has one multiplier for all channels (GetQuantizedConvolutionMultipler: uint8, and fully connected layers) the product of the two
    scales is rounded to float32 first.
    """
    source, result = node.input(0).quantization, node.outputs[0].quantization
    assert source is not None
    assert result is not None
    weights = np.array(node.input(1).quantization.scales if node.input(1).quantization else (1.0,), np.float32)
    single = weights.size == 1 and (node.input(0).dtype is DType.UINT8 or node.op in ("fully_connected", "batch_matmul"))
    if single:
        product = (np.float32(source.scale) * weights).astype(np.float64)
    else:
        product = float(np.float32(source.scale)) * weights.astype(np.float64)
    return np.broadcast_to(product / float(np.float32(result.scale)), (channels,))


def wide_bias(node: Node) -> bool:
    """True when the accumulator is 64 bits wide: int16 activations whose bias is not int32."""
    bias = node.optional(2)
    return bias is None or bias.dtype is DType.INT64


def quantise_rows(rows: Array, asymmetric: bool) -> tuple[Array, Array, Array]:
    """float32 (rows, n) -> (int64 values in int8, scales, zero points), as tensor_utils'
    Symmetric/AsymmetricQuantizeFloats."""
    rows = rows.astype(np.float32)
    if not asymmetric:
        largest = np.abs(rows).max(axis=1, initial=0).astype(np.float32)
        scales = np.where(largest == 0, np.float32(1), largest / np.float32(127)).astype(np.float32)
        inverse = np.where(
            largest == 0, np.float32(0), np.float32(127) / np.where(largest == 0, 1, largest)
        ).astype(np.float32)
        values = np.clip(fp.round_half_away(rows * inverse[:, None]), -127, 127)
        return values.astype(np.int64), scales, np.zeros(len(rows), np.int64)
    low = np.minimum(rows.min(axis=1, initial=0), 0).astype(np.float64)
    high = np.maximum(rows.max(axis=1, initial=0), 0).astype(np.float64)
    flat = low == high
    scale = np.where(flat, 1.0, (high - low) / 255.0)
    from_low, from_high = -128 - low / scale, 127 - high / scale
    error_low, error_high = 128 + np.abs(low / scale), 127 + np.abs(high / scale)
    zero = np.where(error_low < error_high, from_low, from_high)
    zero = np.where(zero <= -128, -128, np.where(zero >= 127, 127, fp.round_half_away(zero)))
    zero = np.where(flat, 0, zero).astype(np.int64)
    scales = scale.astype(np.float32)
    inverse = (np.float32(1.0) / scales).astype(np.float32)
    values = np.clip(fp.round_half_away(zero[:, None] + rows * inverse[:, None]), -128, 127)
    values = np.where(flat[:, None], 0, values)
    return values.astype(np.int64), scales, zero


def float_result(node: Node, values: Array) -> Array:
    """Float sums -> float32 with the node's fused activation."""
    return fp.activate(values.astype(np.float32), attr(node, "fused_activation_function", "NONE"))


def integer(node: Node) -> bool:
    """Is the node to be computed in integers throughout?"""
    return quantised(node.input(0)) and quantised(node.outputs[0])
