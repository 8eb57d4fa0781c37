"""Depthwise convolution: packed weights for the interleaved kernels (kernels/depthwise/geometry.h), plain
ones for the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node
from edged.graph.ops.geometry import window
from edged_backends.catalogue import KernelRow
from edged_backends.lower.scale import clamp_f32, clamp_q, multiplier, weighted_scales
from edged_backends.lowering import Lowering

LANES = 16
MOST_TAPS = 64
"""Interleaved taps (groups x kernel width) that the kernel has room for (EDGED_DW_TAPS)."""
MOST_PHASES = 4
MOST_PAIRED = 128
"""Taps that the AVX2 kernel has room for."""
SLACK, GAP = 512, 64
CACHE_BYTES = 16 * 1024
"""Interleaved rows are to stay near: a block of channels takes at most two such pieces (three, for quads)."""
WHOLE = 64
"""Channels that one step of the interleaving takes: blocks are multiples of it where they can."""
ROWS_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Way:
    """How the interleaved kernel goes about a shape: see kernels/depthwise/geometry.h."""

    rows: int
    groups: int
    planes: int
    block: int
    quads: bool
    columns: int
    phases: int

    def scratch(self, in_w: int, channels: int, multiplied: bool) -> int:
        row = _up(in_w * channels)
        groups = self.groups * (self.columns * self.block + self.phases * GAP)
        return _up(groups * 4 + SLACK) + row * (1 + 4 * self.groups * multiplied)


def _up(nbytes: int) -> int:
    return -(-nbytes // 64) * 64


def way_of(p: dict[str, Any], channels: int, planes: int) -> Way | None:
    """The way for a shape, or None where the kernel has no room for it."""
    strides, dilations = (p["stride_h"], p["stride_w"]), (p["dilation_h"], p["dilation_w"])
    high, wide = p["kernel_h"], p["kernel_w"]
    quads = strides == (2, 2) and dilations == (1, 1) and high > 1 and wide > 1
    plain = p["stride_h"] == 1 and p["dilation_h"] == 1
    rows = {2: 2, 3: 2, 5: 4, 7: 2}.get(high, 1) if plain else 1
    groups = -(-high // 2) if quads else -(-((rows - 1) * p["stride_h"] + high) // 4)
    taps_w, phases = (-(-wide // 2), 1) if quads else (wide, p["stride_w"])
    if groups * taps_w > MOST_TAPS or phases > MOST_PHASES:
        return None
    columns = (p["out_w"] - 1) * phases + (taps_w - 1) * (1 if quads else p["dilation_w"]) + 1
    most = (3 if quads else 2) * CACHE_BYTES // (4 * groups * columns)
    block = channels
    if channels > most and channels % LANES == 0:
        block = most // WHOLE * WHOLE or max(LANES, most // LANES * LANES)
    return Way(rows, groups, planes, block, quads, columns, phases)


def pack_taps(weights: Array, way: Way, stride_h: int) -> Array:
    """int [kernel_h, kernel_w, channels] -> s8 [vectors][rows][groups][taps_w][planes][16][4]."""
    kernel_h, kernel_w, channels = weights.shape
    vectors = channels // gcd(channels, LANES)
    lanes = np.arange(vectors * LANES) % channels
    if way.quads:
        wide = -(-kernel_w // 2)
        spread = np.zeros((way.groups * 2, wide * 2, channels), np.int16)
        spread[:kernel_h, :kernel_w] = weights
        apart = spread.reshape(1, way.groups, 2, wide, 2, channels).transpose(0, 1, 2, 4, 3, 5)
        taps = apart.reshape(1, way.groups, 4, wide, channels)
    else:
        rows = np.zeros((way.rows, way.groups * 4, kernel_w, channels), np.int16)
        for r in range(way.rows):
            rows[r, r * stride_h : r * stride_h + kernel_h] = weights
        taps = rows.reshape(way.rows, way.groups, 4, kernel_w, channels)
    taps = taps[..., lanes].reshape(*taps.shape[:-1], vectors, LANES).transpose(4, 0, 1, 3, 5, 2)
    planes = [taps] if way.planes == 1 else [taps >> 1, taps - (taps >> 1)]
    return np.stack(planes, axis=4).astype(np.int8)


def spread_lanes(values: Array, dtype: Any = np.int32) -> Array:
    """Per-channel values in the order of the packed lanes."""
    channels = len(values)
    return np.asarray(values)[np.arange(channels // gcd(channels, LANES) * LANES) % channels].astype(dtype)


def fits(weights: Array, bias: Array, pairs: Array, output_zero: int) -> Array | None:
    """(multiplier, shift) pairs that the interleaved kernels requantise exactly, or None when they cannot.

    They add the rounding term and the output's zero point before the shift to the right: the sum must stay
    below 2^31. A channel that is shifted so far that it always gives 0 gets a multiplier of 0 instead."""
    bound = np.abs(weights).sum(axis=(0, 1)).astype(np.int64) * 255 + np.abs(bias.astype(np.int64))
    made = pairs.copy()
    right = np.maximum(-pairs[:, 1], 0)
    nothing = (right > 0) & (bound < np.int64(1) << np.maximum(right - 1, 0))
    made[nothing] = (0, -1)
    right, left = np.maximum(-made[:, 1], 0), np.maximum(made[:, 1], 0)
    total = (bound << left) + (np.int64(1 + abs(output_zero)) << right)
    return None if (total >= 1 << 31).any() else made


def lower_depthwise(lowering: Lowering, node: Node) -> str | None:
    kinds = (
        lowering.internal(node.input(0)).dtype, lowering.internal(node.input(1)).dtype,
        lowering.internal(node.outputs[0]).dtype,
    )  # fmt: skip
    weights = lowering.value(node.input(1))
    bias = node.optional(2)
    if weights is None or (bias is not None and not bias.constant):
        return "the weights are not constant"
    rule = _RULES.get(kinds)
    if rule is _hybrid and lowering.is_shifted(node.input(1)):
        return "float activations with uint8 weights"
    if rule is None:
        return f"a depthwise convolution of {kinds[0]} with {kinds[1]} weights to {kinds[2]}"
    return rule(lowering, node, weights[0])


def _geometry(node: Node, weights: Array) -> dict[str, Any]:
    high, wide = window(node, node.input(0).shape, (weights.shape[0], weights.shape[1]))
    channels = node.input(0).shape[3]
    return {
        "in_h": high.size, "in_w": wide.size, "channels": channels, "out_h": high.out, "out_w": wide.out,
        "multiplier": weights.shape[2] // channels, "kernel_h": high.kernel, "kernel_w": wide.kernel,
        "stride_h": high.stride, "stride_w": wide.stride, "dilation_h": high.dilation,
        "dilation_w": wide.dilation,
        "pad_top": high.before, "pad_left": wide.before,
    }  # fmt: skip


def _bias(lowering: Lowering, node: Node, channels: int) -> Array:
    tensor = node.optional(2)
    value = None if tensor is None else lowering.value(tensor)
    return np.zeros(channels, np.int64) if value is None else value


def _pairs(node: Node, channels: int) -> Array:
    return np.array([multiplier(s) for s in weighted_scales(node, channels)], np.int64)


def _s8(lowering: Lowering, node: Node, weights: Array) -> str | None:
    row = lowering.kernels.pick("dw_s8")
    assert row is not None, "dw_s8 has a scalar row"
    source, w, output = (lowering.internal(t) for t in (node.input(0), node.input(1), node.outputs[0]))
    if any(z != w.zero_point for z in w.zero_points):
        return "weights with a zero point per channel"
    low, high = clamp_q(node, output)
    p = _geometry(node, weights)
    p.update(
        input_zero=source.zero_point,
        weight_zero=w.zero_point,
        output_zero=output.zero_point,
        act_min=low,
        act_max=high,
    )
    channels = weights.shape[2]
    centred = weights.astype(np.int64) - w.zero_point
    bias, pairs = _bias(lowering, node, channels), _pairs(node, channels)
    if row.kr > 1:
        planes = 1 if centred.min() >= -128 and centred.max() <= 127 else 2
        exact = fits(centred, bias, pairs, output.zero_point)
        way = way_of(p, channels, planes) if row.kr == 4 else None
        if way is not None and exact is not None:
            _interleaved(lowering, node, row, p, way, [centred, bias, exact])
            return None
        if (
            row.kr == 2
            and exact is not None
            and p["multiplier"] == 1
            and weights.shape[0] * weights.shape[1] <= MOST_PAIRED
        ):
            _paired(lowering, node, row, p, [centred, bias, exact])
            return None
        row = _plain_row(lowering, "dw_s8")
    p.update(rows=1, groups=1, planes=1, block=channels, quads=0)
    refs = [
        lowering.ref(node.outputs[0]),
        lowering.ref(node.input(0)),
        lowering.const(weights.astype(np.int8), ("dw", node.input(1))),
    ]
    refs += [lowering.const(a.astype(np.int32)) for a in (bias, pairs[:, 0], pairs[:, 1])]
    lowering.step("dw_s8", p, refs, units=node.outputs[0].shape[0] * p["out_h"], row=row, why="tap by tap")
    return None


def _interleaved(
    lowering: Lowering, node: Node, row: KernelRow, p: dict[str, Any], way: Way, values: Sequence[Array]
) -> None:
    weights, bias, pairs = values
    channels = weights.shape[2]
    folded = bias.astype(np.int64) - (p["input_zero"] + 128) * weights.sum(axis=(0, 1))
    p.update(rows=way.rows, groups=way.groups, planes=way.planes, block=way.block, quads=int(way.quads))
    key = ("dw", node.input(1), row.name, way, p["stride_h"])
    refs = [
        lowering.ref(node.outputs[0]), lowering.ref(node.input(0)), lowering.const(pack_taps(weights, way,
        p["stride_h"]), key),
        *(lowering.const(spread_lanes(a)) for a in (_wrapped(folded), pairs[:, 0], pairs[:, 1])),
    ]  # fmt: skip
    four = "two by two pixels" if way.quads else "four rows"
    why = f"{four} interleaved, {way.rows} output rows a pass" + (
        ", two weight planes" if way.planes == 2 else ""
    )
    scratch = way.scratch(p["in_w"], channels, p["multiplier"] > 1)
    lowering.step(
        "dw_s8", p, refs, units=node.outputs[0].shape[0] * p["out_h"], scratch=scratch, row=row, why=why
    )


def pair_lanes(channels: int) -> Array:
    """Channel of every lane of the AVX2 kernel (kernels/depthwise/s8_x86_avx2.c): [vectors, 16]."""
    order = np.array([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15])
    starts = np.minimum(np.arange(0, channels, LANES), max(channels - LANES, 0))
    return np.asarray(np.minimum(starts[:, None] + order, channels - 1))


def pack_pairs(weights: Array) -> Array:
    """int [kernel_h, kernel_w, channels] -> int16 [vectors][(taps + 1) / 2][16][2]."""
    flat = weights.reshape(-1, weights.shape[2])
    even = np.concatenate([flat, np.zeros((len(flat) % 2, flat.shape[1]), flat.dtype)])
    lanes = pair_lanes(flat.shape[1])
    return even.reshape(-1, 2, flat.shape[1])[:, :, lanes].transpose(2, 0, 3, 1).astype(np.int16)


def _paired(
    lowering: Lowering, node: Node, row: KernelRow, p: dict[str, Any], values: Sequence[Array]
) -> None:
    weights, bias, pairs = values
    folded = bias.astype(np.int64) - p["input_zero"] * weights.sum(axis=(0, 1))
    lanes = pair_lanes(weights.shape[2]).reshape(-1)
    p.update(rows=1, groups=1, planes=1, block=weights.shape[2], quads=0)
    refs = [
        lowering.ref(node.outputs[0]), lowering.ref(node.input(0)),
        lowering.const(pack_pairs(weights), ("dw", node.input(1), row.name)),
        *(lowering.const(a[lanes].astype(np.int32)) for a in (_wrapped(folded), pairs[:, 0], pairs[:, 1])),
    ]  # fmt: skip
    units, scratch = node.outputs[0].shape[0] * p["out_h"], p["in_w"] * p["channels"] + 64
    lowering.step("dw_s8", p, refs, units=units, scratch=scratch, row=row, why="taps in pairs")


def _wrapped(values: Array) -> Array:
    return np.asarray(values & 0xFFFFFFFF, np.uint32).view(np.int32)


def _plain_row(lowering: Lowering, op: str) -> KernelRow:
    """The op's best usable row that takes plain weights."""
    present = lowering.kernels.present
    return next(r for r in lowering.kernels.rows if r.op == op and r.kr == 1 and r.arch & ~present == 0)


def _s16(lowering: Lowering, node: Node, weights: Array) -> str | None:
    output = lowering.internal(node.outputs[0])
    bias = node.optional(2)
    if (
        lowering.internal(node.input(0)).zero_point
        or output.zero_point
        or (bias is not None and bias.dtype is not DType.INT64)
    ):
        return "int16 activations with zero points or an int32 bias"
    low, high = clamp_q(node, output)
    p = _geometry(node, weights)
    channels = weights.shape[2]
    pairs = _pairs(node, channels)
    refs = [
        lowering.ref(node.outputs[0]),
        lowering.ref(node.input(0)),
        lowering.const(weights.astype(np.int8), ("dw", node.input(1))),
    ]
    refs += [lowering.const(_bias(lowering, node, channels).astype(np.int64))]
    refs += [lowering.const(a.astype(np.int32)) for a in (pairs[:, 0], pairs[:, 1])]
    lowering.step(
        "dw_s16", {**p, "act_min": low, "act_max": high}, refs, units=node.outputs[0].shape[0] * p["out_h"]
    )
    return None


def block_f32(p: dict[str, Any]) -> int:
    """Channels that the 3x3 way takes at a time, so that four rows stay in L1; 0 where it does not serve."""
    ones = ("stride_h", "stride_w", "dilation_h", "dilation_w", "multiplier")
    if (p["kernel_h"], p["kernel_w"]) != (3, 3) or any(p[name] != 1 for name in ones):
        return 0
    most = ROWS_BYTES // (16 * (p["out_w"] + 2)) // LANES * LANES
    return int(min(p["channels"], max(most, LANES)))


def _f32(lowering: Lowering, node: Node, weights: Array) -> str | None:
    low, high = clamp_f32(node)
    p = _geometry(node, weights)
    block = block_f32(p)
    p.update(block=block, act_min=low, act_max=high)
    bias = _bias(lowering, node, weights.shape[2]).astype(np.float32)
    refs = [
        lowering.ref(node.outputs[0]), lowering.ref(node.input(0)), lowering.const(weights, ("dw",
        node.input(1))), lowering.const(bias),
    ]  # fmt: skip
    scratch = 16 * (p["out_w"] + 2) * _up(block)
    lowering.step(
        "dw_f32", p, refs, units=node.outputs[0].shape[0] * p["out_h"], scratch=scratch if block else 0
    )
    return None


def _hybrid(lowering: Lowering, node: Node, weights: Array) -> str | None:
    """Float activations with integer weights: each image is quantised by itself, then summed in integers."""
    low, high = clamp_f32(node)
    p = _geometry(node, weights)
    p.update(block=0, act_min=low, act_max=high)
    source, channels, scales = node.input(0), weights.shape[2], lowering.internal(node.input(1)).scales
    images = source.shape[0]
    values, steps, zeros = (lowering.temp(n) for n in (source.elements, 4 * images, 4 * images))
    rows = {"n": source.elements // images, "asymmetric": 1}
    given = [values, steps, zeros, lowering.ref(source)]
    lowering.step(
        "quantise_rows",
        rows,
        given,
        units=images,
        writes=3,
        why="float activations become int8, image by image",
    )
    constants: list[Array] = [
        weights.astype(np.int8),
        _bias(lowering, node, channels).astype(np.float32),
        np.resize(np.array(scales, np.float32), channels),
    ]
    refs = [lowering.ref(node.outputs[0]), values, *(lowering.const(a) for a in constants), steps, zeros]
    lowering.step("dw_hybrid", p, refs, units=images * p["out_h"], why="tap by tap")
    return None


_Rule = Callable[[Lowering, Node, Array], "str | None"]
_RULES: dict[tuple[DType, DType, DType], _Rule] = {
    (DType.INT8, DType.INT8, DType.INT8): _s8, (DType.INT8, DType.INT4, DType.INT8): _s8,
    (DType.FLOAT32, DType.INT8, DType.FLOAT32): _hybrid, (DType.FLOAT32, DType.INT4, DType.FLOAT32): _hybrid,
    (DType.INT16, DType.INT8, DType.INT16): _s16, (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32): _f32,
}  # fmt: skip

LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {"depthwise_conv_2d": lower_depthwise}
