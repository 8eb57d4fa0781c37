"""Constant inputs of weighted nodes, and the packed constants that kernels read. No rule stands here."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.fixedpoint import quantize_multipliers
from edged.graph.ops.weighted import effective_scales, integer, scales_of
from edged_backends.catalogue import KernelRow
from edged_backends.lowering import Lowering, Quant
from edged_backends.operands import Ref
from edged_backends.weights import fold_bias, pack, pad, sums


@dataclass(frozen=True, slots=True)
class Weights:
    """Constant inputs of a weighted node: plain [channels, depth], bias, and per channel how sums are scaled.

    `multiplier` and `shift` (int32) for integer nodes, `scale` (float32) for float ones with integer weights.
    """

    plain: Array
    bias: Array | None
    tensor: Tensor
    quant: Quant
    multiplier: Array
    shift: Array
    scale: Array

    def part(self, first: int, count: int) -> Weights:
        """Channels first..first+count: one group's."""
        if count == self.plain.shape[0]:
            return self
        chosen = slice(first, first + count)
        return replace(
            self,
            plain=self.plain[chosen],
            bias=None if self.bias is None else self.bias[chosen],
            multiplier=self.multiplier[chosen],
            shift=self.shift[chosen],
            scale=self.scale[chosen],
        )


def weights_of(lowering: Lowering, node: Node) -> Weights | str:
    """The node's weights, or why it cannot be lowered. Input 1 is [channels, ...], input 2 the bias."""
    tensor, bias = node.input(1), node.optional(2)
    array = lowering.value(tensor)
    if array is None:
        return "the weights are not constant"
    if bias is not None and not bias.constant:
        return "the bias is not constant"
    quant = lowering.internal(tensor)
    if node.input(0).dtype is DType.FLOAT32 and tensor.dtype is DType.UINT8:
        array = (array.view(np.uint8) ^ np.uint8(0x80)).view(np.int8)  # TFLite reads them as int8
    count = array.shape[0]
    multiplier = shift = np.zeros(count, np.int32)
    if integer(node):
        multiplier, shift = (a.astype(np.int32) for a in quantize_multipliers(effective_scales(node, count)))
    return Weights(
        array.reshape(count, -1),
        None if bias is None else lowering.value(bias),
        tensor,
        quant,
        multiplier,
        shift,
        scales_of(tensor.quantization, count),
    )


def quantised_operands(
    lowering: Lowering, w: Weights, row: KernelRow, zeros: tuple[int, int], segments: int, first: int
) -> list[Ref]:
    """Packed weights, folded bias, multipliers, shifts. `zeros`: of the input and of the weights."""
    return [
        packed_s8(lowering, w, row, segments, first, zeros[1] != 0),
        lowering.const(fold_bias(w.plain, w.bias, row, *zeros)),
        lowering.const(pad(w.multiplier, row)),
        lowering.const(pad(w.shift, row)),
    ]


def may_wrap(w: Weights) -> bool:
    """Could a positive shift move a sum out of int32? Inputs are at most 255 from their zero point."""
    weights = np.abs(w.plain.astype(np.int64) - w.quant.zero_point).sum(axis=1)
    most = 255 * weights + (0 if w.bias is None else np.abs(w.bias.astype(np.int64)))
    return bool((most << np.maximum(w.shift, 0).astype(np.int64) >= 1 << 31).any())


def hybrid_operands(lowering: Lowering, w: Weights, row: KernelRow, segments: int, first: int) -> list[Ref]:
    """Packed weights, their sums, scales, bias in float."""
    bias = np.zeros(len(w.plain), np.float32) if w.bias is None else w.bias.astype(np.float32)
    return [
        packed_s8(lowering, w, row, segments, first, False),
        lowering.const(pad(sums(w.plain), row)),
        lowering.const(pad(np.ascontiguousarray(w.scale, np.float32), row)),
        lowering.const(pad(bias, row)),
    ]


def packed_s8(lowering: Lowering, w: Weights, row: KernelRow, segments: int, first: int, ones: bool) -> Ref:
    """int8 weights in the row's layout; `first`, the first channel, tells groups of one tensor apart."""
    key = ("weights", w.tensor, row.name, segments, first, ones, len(w.plain))
    return lowering.const(pack(w.plain.astype(np.int8, copy=False), row, segments, ones), key)


def float_operands(lowering: Lowering, w: Weights, row: KernelRow, first: int) -> list[Ref]:
    """Packed weights and bias."""
    bias = np.zeros(len(w.plain), np.float32) if w.bias is None else w.bias.astype(np.float32)
    key = ("weights", w.tensor, row.name, first, len(w.plain))
    packed = pack(w.plain.astype(np.float32, copy=False), row)
    return [lowering.const(packed, key), lowering.const(pad(bias, row))]


def plain_operands(lowering: Lowering, w: Weights) -> list[Ref | None]:
    """Weights and bias as they are; for integer nodes multipliers and shifts: for rows that pack nothing."""
    parts: list[Ref | None] = [lowering.const(w.plain)]
    parts.append(None if w.bias is None else lowering.const(w.bias))
    if w.plain.dtype != np.float32:
        parts += [lowering.const(w.multiplier), lowering.const(w.shift)]
    return parts
