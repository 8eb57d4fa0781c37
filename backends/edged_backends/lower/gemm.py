"""Convolutions and fully connected layers: how they are computed, their packed weights, their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.spec import attr
from edged_backends.algorithms import conv_key, conv_options
from edged_backends.catalogue import KernelRow
from edged_backends.lower.conv_shape import (
    ConvShape,
    conv_shape,
    scratch_f32,
    scratch_s8,
    with_segments,
    with_units,
)
from edged_backends.lower.scale import clamp_f32, clamp_q, multiplier
from edged_backends.lowering import Lowering, Quant
from edged_backends.operands import Ref
from edged_backends.weights import fold_bias, pack, pad, up

NO_ADD = dict.fromkeys(
    ("mult1", "shift1", "zero2", "mult2", "shift2", "zero3", "mult3", "shift3", "add_min", "add_max"), 0
)
"""The residual fields of conv_s8 where there is no residual."""
FEW_ROWS = 4
"""Fully connected layers with more rows than this are products of matrices, computed as 1x1 convolutions."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Constant inputs of a weighted node: plain [channels, depth], bias, where they come from (to share)."""

    plain: Array
    bias: Array | None
    tensor: Tensor
    quant: Quant

    def part(self, first: int, count: int) -> Weights:
        """Channels first..first+count: one group's."""
        if count == self.plain.shape[0]:
            return self
        end = first + count
        scales = self.quant.scales if len(self.quant.scales) == 1 else self.quant.scales[first:end]
        bias = None if self.bias is None else self.bias[first:end]
        return replace(self, plain=self.plain[first:end], bias=bias, quant=replace(self.quant, scales=scales))


def weights_of(lowering: Lowering, node: Node) -> Weights | str:
    """The node's weights, or why it cannot be lowered."""
    tensor, bias = node.input(1), node.optional(2)
    array = lowering.value(tensor)
    if array is None:
        return "the weights are not constant"
    if bias is not None and not bias.constant:
        return "the bias is not constant"
    plain = array.reshape(array.shape[0], -1)
    return Weights(plain, None if bias is None else lowering.value(bias), tensor, lowering.internal(tensor))


def effective_scales(source: Quant, weights: Quant, output: Quant, channels: int) -> list[float]:
    """input scale * weight scale / output scale of each channel, in double of the float32 scales."""
    own, out = float(np.float32(source.scale)), float(np.float32(output.scale))
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    return [own * float(np.float32(s)) / out for s in scales]


def quantised_operands(
    lowering: Lowering,
    w: Weights,
    row: KernelRow,
    scales: Sequence[float],
    zeros: tuple[int, int],
    segments: int,
    first: int,
) -> list[Ref]:
    """Packed weights, folded bias, multipliers and shifts. `zeros`: of the input and of the weights."""
    pairs = np.array([multiplier(s) for s in scales], np.int64)
    key = (w.tensor, row.name, segments, first, zeros, w.plain.shape[0])
    return [
        lowering.const(
            pack(w.plain.astype(np.int8, copy=False), row, segments, zeros[1] != 0), ("weights", *key)
        ),
        lowering.const(fold_bias(w.plain, w.bias, row, *zeros)),
        lowering.const(pad(pairs[:, 0].astype(np.int32), row)),
        lowering.const(pad(pairs[:, 1].astype(np.int32), row)),
    ]


def float_operands(lowering: Lowering, w: Weights, row: KernelRow, first: int) -> list[Ref]:
    """Packed weights and bias."""
    bias = np.zeros(w.plain.shape[0], np.float32) if w.bias is None else w.bias.astype(np.float32)
    key = ("weights", w.tensor, row.name, first, w.plain.shape[0])
    return [
        lowering.const(pack(w.plain.astype(np.float32, copy=False), row), key),
        lowering.const(pad(bias, row)),
    ]


@dataclass(frozen=True, slots=True)
class Residual:
    """An ADD that follows a convolution: its node, and the tensor that is not the convolution's output."""

    node: Node
    other: Tensor


def lower_conv_2d(lowering: Lowering, node: Node) -> str | None:
    return _lower_conv(lowering, node, None)


def _lower_conv(lowering: Lowering, node: Node, residual: Residual | None) -> str | None:
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    w = weights_of(lowering, node)
    if isinstance(w, str):
        return w
    kinds = (source.dtype, w.quant.dtype, output.dtype)
    add = _CONV.get(kinds)
    if add is None:
        return f"a convolution of {kinds[0]} with {kinds[1]} weights to {kinds[2]}"
    in_c = node.input(1).shape[3]
    groups = node.input(0).shape[3] // in_c
    own = w.plain.shape[0] // groups
    for group in range(groups):
        add(lowering, node, conv_shape(node, in_c, group), w.part(group * own, own), residual)
    return None


def lower_conv_add(lowering: Lowering, nodes: Sequence[Node]) -> str | None:
    """CONV_2D and the ADD that reads it, in one step."""
    conv, add = nodes
    result, output = conv.outputs[0], add.outputs[0]
    first, second = add.input(0), add.input(1)
    other = second if first is result else first
    if other is result or other.shape != result.shape or output.shape != result.shape or other.constant:
        return "the addition is no residual"
    if {result.dtype, other.dtype, output.dtype} == {DType.FLOAT32}:
        plain = attr(conv, "fused_activation_function", "NONE") == "NONE"
        return _lower_conv(lowering, conv, Residual(add, other)) if plain else "an activation stands between"
    quants = [lowering.internal(t) for t in (result, other, output)]
    if any(q.dtype is not DType.INT8 or len(q.scales) != 1 for q in quants):
        return "the addition is not of int8 tensors"
    return _lower_conv(lowering, conv, Residual(add, other))


def add_params(lowering: Lowering, residual: Residual, result: Tensor) -> dict[str, int]:
    """The residual fields of conv_s8: TFLite's ADD of two int8 tensors with a left shift of 20."""
    own, other, output = (lowering.internal(t) for t in (result, residual.other, residual.node.outputs[0]))
    scales = [float(np.float32(q.scale)) for q in (own, other, output)]
    twice = 2.0 * max(scales[0], scales[1])
    factors = (scales[0] / twice, scales[1] / twice, twice / ((1 << 20) * scales[2]))
    low, high = clamp_q(residual.node, output)
    fields = {"zero2": other.zero_point, "zero3": output.zero_point, "add_min": low, "add_max": high}
    for i, factor in enumerate(factors, 1):
        fields[f"mult{i}"], fields[f"shift{i}"] = multiplier(factor)
    return fields


def _way(
    lowering: Lowering, shape: ConvShape, row: KernelRow, element: int, kind: str
) -> tuple[ConvShape, str]:
    """The shape cut for the way that was chosen, and why."""
    if row.mr == 1 or shape.kernel_h * shape.kernel_w == 1:
        why = "a matrix product (1x1)" if shape.depth == shape.in_c else "single pixels"
        return with_units(with_segments(shape, "im2col"), row, element, lowering.threads), why
    made = lowering.choose(conv_key(shape, kind, lowering.threads), conv_options(shape, row, element))
    return with_units(with_segments(shape, made.chosen), row, element, lowering.threads), made.why


def add_conv_s8(lowering: Lowering, node: Node, shape: ConvShape, w: Weights, residual: Residual | None) -> None:
    row = lowering.kernels.pick("conv_s8")
    assert row is not None, "conv_s8 has a scalar row"
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    low, high = clamp_q(node, output)
    zeros = (source.zero_point, w.quant.zero_point)
    scales = effective_scales(source, w.quant, output, shape.out_c)
    shape, why = _way(lowering, shape, row, 1, "s8")
    constants = quantised_operands(lowering, w, row, scales, zeros, shape.segments, shape.out_first)
    params = {
        **shape.params(), "input_zero": zeros[0], "weight_zero": zeros[1], "output_zero": output.zero_point,
        "act_min": low, "act_max": high,
        **(NO_ADD if residual is None else add_params(lowering, residual, node.outputs[0])),
    }  # fmt: skip
    refs, inplace, why = _outer_refs(lowering, node, residual, 6, why)
    refs[2:2] = constants
    scratch = scratch_s8(shape, row)
    lowering.step(
        "conv_s8", params, refs, units=shape.units, scratch=scratch, why=why, work=shape.macs, inplace=inplace
    )


def add_conv_f32(lowering: Lowering, node: Node, shape: ConvShape, w: Weights, residual: Residual | None) -> None:
    row = lowering.kernels.pick("conv_f32")
    assert row is not None, "conv_f32 has a scalar row"
    low, high = clamp_f32(node if residual is None else residual.node)
    shape, why = _way(lowering, shape, row, 4, "f32")
    params = {**shape.params(), "act_min": low, "act_max": high}
    refs, inplace, why = _outer_refs(lowering, node, residual, 4, why)
    refs[2:2] = float_operands(lowering, w, row, shape.out_first)
    scratch = scratch_f32(shape, row)
    lowering.step(
        "conv_f32", params, refs, units=shape.units, scratch=scratch, why=why, work=shape.macs, inplace=inplace
    )


def _outer_refs(
    lowering: Lowering, node: Node, residual: Residual | None, index: int, why: str
) -> tuple[list[Ref | None], int | None, str]:
    """(output, input, residual), the operand whose memory the output may take over, and why so.

    `index`: the residual's place among the kernel's operands. A residual that is the input as well is read beyond
    the pixel that is being written, so its memory is not taken.
    """
    source = lowering.ref(node.input(0))
    if residual is None:
        return [lowering.ref(node.outputs[0]), source, None], None, why
    other = lowering.ref(residual.other)
    free = other.value is not source.value
    return [lowering.ref(residual.node.outputs[0]), source, other], index if free else None, f"{why}; with the addition"


_S8 = (DType.INT8, DType.INT8, DType.INT8)
_F32 = (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32)
_AddConv = Callable[[Lowering, Node, ConvShape, Weights, Residual | None], None]
_CONV: dict[tuple[DType, DType, DType], _AddConv] = {
    _S8: add_conv_s8,
    (DType.INT8, DType.INT4, DType.INT8): add_conv_s8,
    _F32: add_conv_f32,
}
"""(input, weights, output) -> what adds the steps."""


def lower_fully_connected(lowering: Lowering, node: Node) -> str | None:
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    w = weights_of(lowering, node)
    if isinstance(w, str):
        return w
    kinds = (source.dtype, w.quant.dtype, output.dtype)
    add = _FC.get(kinds)
    if add is None:
        return f"a fully connected layer of {kinds[0]} with {kinds[1]} weights to {kinds[2]}"
    add(lowering, node, w, node.outputs[0].elements // w.plain.shape[0])
    return None


def fc_columns(channels: int, row: KernelRow, threads: int) -> int:
    """Output channels of a unit: all, or about two units per thread, in multiples of NR."""
    if threads == 1:
        return channels
    return min(channels, max(64, up(-(-channels // (2 * threads)), max(row.nr, 16))))


def matrix_shape(rows: int, depth: int, channels: int) -> ConvShape:
    """A product of matrices as a 1x1 convolution."""
    return ConvShape(1, rows, 1, depth, depth, 0, rows, 1, channels, channels, 0, 1, 1, 1, 1, 1, 1, 0, 0)


def add_fc_s8(lowering: Lowering, node: Node, w: Weights, rows: int) -> None:
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    few = rows <= FEW_ROWS
    row = lowering.kernels.pick("fc_s8" if few else "conv_s8")
    assert row is not None, "fc_s8 and conv_s8 have scalar rows"
    low, high = clamp_q(node, output)
    channels, depth = w.plain.shape
    zeros = (source.zero_point, w.quant.zero_point)
    scales = effective_scales(source, w.quant, output, channels)
    refs = [
        lowering.ref(node.outputs[0]),
        lowering.ref(node.input(0)),
        *quantised_operands(lowering, w, row, scales, zeros, 1, 0),
    ]
    params: dict[str, int] = {
        "input_zero": zeros[0], "weight_zero": zeros[1], "output_zero": output.zero_point,
        "act_min": low, "act_max": high,
    }  # fmt: skip
    if few:
        columns = fc_columns(channels, row, lowering.threads)
        params.update(rows=rows, depth=depth, out_c=channels, columns=columns)
        scratch = 1536 + rows * up(depth, 64) + 64 if row.mr > 1 else 0
        lowering.step("fc_s8", params, refs, units=-(-channels // columns), scratch=scratch)
        return
    shape = with_units(with_segments(matrix_shape(rows, depth, channels), "im2col"), row, 1, lowering.threads)
    params.update(shape.params(), **NO_ADD)
    lowering.step(
        "conv_s8",
        params,
        [*refs, None],
        units=shape.units,
        scratch=scratch_s8(shape, row),
        why="a matrix product",
    )


def add_fc_f32(lowering: Lowering, node: Node, w: Weights, rows: int) -> None:
    few = rows <= FEW_ROWS
    row = lowering.kernels.pick("fc_f32" if few else "conv_f32")
    assert row is not None, "fc_f32 and conv_f32 have scalar rows"
    low, high = clamp_f32(node)
    channels, depth = w.plain.shape
    refs = [lowering.ref(node.outputs[0]), lowering.ref(node.input(0)), *float_operands(lowering, w, row, 0)]
    if few:
        columns = fc_columns(channels, row, lowering.threads)
        params = {
            "rows": rows,
            "depth": depth,
            "out_c": channels,
            "columns": columns,
            "act_min": low,
            "act_max": high,
        }
        lowering.step("fc_f32", params, refs, units=-(-channels // columns))
        return
    shape = with_units(with_segments(matrix_shape(rows, depth, channels), "im2col"), row, 4, lowering.threads)
    params = {**shape.params(), "act_min": low, "act_max": high}
    lowering.step(
        "conv_f32",
        params,
        [*refs, None],
        units=shape.units,
        scratch=scratch_f32(shape, row),
        why="a matrix product",
    )


_AddFc = Callable[[Lowering, Node, Weights, int], None]
_FC: dict[tuple[DType, DType, DType], _AddFc] = {
    _S8: add_fc_s8,
    (DType.INT8, DType.INT4, DType.INT8): add_fc_s8,
    _F32: add_fc_f32,
}

LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "conv_2d": lower_conv_2d,
    "fully_connected": lower_fully_connected,
}

GROUPS: tuple[tuple[tuple[str, ...], Callable[[Lowering, Sequence[Node]], str | None]], ...] = (
    (("conv_2d", "add"), lower_conv_add),
)
