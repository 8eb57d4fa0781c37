"""Float activations with integer weights where conv_hybrid does not apply: blockwise fully connected layers,
transposed convolutions. No rule stands here; those of the ops call these.

Activations are quantised row by row (or image by image) as they come, as TFLite's dynamic range does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edged.graph.arrays import Array, constant
from edged.graph.model import DType, Node, Tensor
from edged_backends.lower.scale import clamp_f32
from edged_backends.lower.weighted import Weights
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref


@dataclass(frozen=True, slots=True)
class Rows:
    """Float rows as int8: where the values, scales and zero points are, and how many of what length."""

    values: Ref
    scales: Ref
    zeros: Ref
    count: int
    length: int


def quantised_rows(lowering: Lowering, source: Tensor, count: int, asymmetric: bool) -> Rows:
    """A step of quantise_rows."""
    length = source.elements // count
    made = Rows(
        lowering.temp(source.elements), lowering.temp(4 * count), lowering.temp(4 * count), count, length
    )
    refs = [made.values, made.scales, made.zeros, lowering.ref(source)]
    params = {"n": length, "asymmetric": int(asymmetric)}
    lowering.step("quantise_rows", params, refs, units=count, writes=3, why="float activations become int8")
    return made


# ---- fully connected, a scale for every block of columns ----


def lower_blockwise(lowering: Lowering, node: Node) -> str | None:
    source, weights, bias, output = node.input(0), node.input(1), node.optional(2), node.outputs[0]
    quantization, values = weights.quantization, lowering.value(weights)
    assert quantization is not None
    size, scales = quantization.block_size, quantization.block_scales
    if values is None or scales is None or not scales.constant or (bias is not None and not bias.constant):
        return "blockwise weights, scales or bias known only at run time"
    if source.dtype is not DType.FLOAT32 or quantization.block_zero_points is not None:
        return f"blockwise weights with zero points, or of an input of {source.dtype}"
    channels, depth = values.shape
    if depth % size:
        return f"blocks of {size} that do not divide {depth} columns"
    low, high = clamp_f32(node)
    rows = quantised_rows(lowering, source, output.elements // channels, True)
    factors = constant(scales).astype(np.float32).reshape(channels, depth // size)
    params = {
        "rows": rows.count, "depth": depth, "out_c": channels, "size": size, "act_min": low, "act_max": high,
    }  # fmt: skip
    constants = [lowering.const(values.astype(np.int8)), lowering.const(factors)]
    refs = [lowering.ref(output), rows.values, rows.scales, rows.zeros, *constants, _bias(lowering, bias)]
    lowering.step("fc_blockwise", params, refs, units=channels, work=rows.count * depth * channels)
    return None


def _bias(lowering: Lowering, bias: Tensor | None) -> Ref | None:
    return None if bias is None else lowering.const(constant(bias).astype(np.float32))


# ---- transposed convolution ----


def lower_transposed(
    lowering: Lowering, layer: Node, w: Weights, params: Mapping[str, int | float]
) -> str | None:
    """Whole numbers through the float kernel (exact up to 2^24), between two steps that centre and scale.

    `layer`: inputs source, filter, bias; `params`: the geometry of transpose_conv_f32.
    """
    source, output = layer.input(0), layer.outputs[0]
    images, channels = source.shape[0], output.shape[3]
    low, high = clamp_f32(layer)
    rows = quantised_rows(lowering, source, images, True)
    whole, sums = lowering.temp(4 * source.elements), lowering.temp(4 * output.elements)
    lowering.step("centre_rows", {"n": rows.length}, [whole, rows.values, rows.zeros], units=images)
    weights: Array = w.plain.astype(np.float32)
    unbounded = {"act_min": -np.inf, "act_max": np.inf}
    work = source.elements * weights.size // max(source.shape[3], 1)
    lowering.step(
        "transpose_conv_f32", {**params, **unbounded}, [sums, whole, lowering.const(weights), None],
        units=images * output.shape[1], work=work,
    )  # fmt: skip
    scales = np.ascontiguousarray(w.scale, np.float32)
    bias = _bias(lowering, layer.optional(2))
    refs = [lowering.ref(output), sums, rows.scales, lowering.const(scales), bias]
    pixels = output.elements // channels
    scaling = {"channels": channels, "rows": pixels // images, "act_min": low, "act_max": high}
    lowering.step("scale_rows", scaling, refs, units=pixels)
    return None
