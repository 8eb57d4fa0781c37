"""CONV_2D, alone or with the residual ADD that follows it, and FULLY_CONNECTED: ways, constants, steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.spec import attr
from edged.graph.ops.weighted import wide_bias
from edged_backends.algorithms import WINOGRAD, conv_key, conv_options
from edged_backends.catalogue import KernelRow
from edged_backends.lower import conv_shape as cs
from edged_backends.lower.conv_shape import ConvShape
from edged_backends.lower.hybrid import lower_blockwise
from edged_backends.lower.scale import clamp_f32, clamp_q, multiplier
from edged_backends.lower.weighted import (
    Weights,
    float_operands,
    hybrid_operands,
    may_wrap,
    plain_operands,
    quantised_operands,
    weights_of,
)
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.operands import Ref
from edged_backends.weights import pack_winograd, pad, up

_RESIDUAL = "mult1 shift1 zero2 mult2 shift2 zero3 mult3 shift3 add_min add_max"
NO_ADD: Mapping[str, int] = dict.fromkeys(_RESIDUAL.split(), 0)
"""The residual fields of conv_s8 where there is no residual."""
FEW_ROWS = 4
"""Fully connected layers with more rows than this are products of matrices, computed as 1x1 convolutions."""


@dataclass(frozen=True, slots=True)
class Residual:
    """An ADD that follows a convolution: its node, and the tensor that is not the convolution's output."""

    node: Node
    other: Tensor


@dataclass(frozen=True, slots=True)
class Layer:
    """What a step is made from. `node` is the convolution or dense layer itself."""

    node: Node
    shape: ConvShape
    w: Weights
    residual: Residual | None = None


# ---- convolutions ----


def lower_conv_2d(lowering: Lowering, node: Node) -> str | None:
    return _lower_conv(lowering, node, None)


def _lower_conv(lowering: Lowering, node: Node, residual: Residual | None) -> str | None:
    w = weights_of(lowering, node)
    if isinstance(w, str):
        return w
    kinds = (lowering.internal(node.input(0)).dtype, w.quant.dtype, lowering.internal(node.outputs[0]).dtype)
    add = _ADD.get(kinds)
    if add is None or (residual is not None and add not in (add_s8, add_f32)):
        return f"a convolution of {kinds[0]} with {kinds[1]} weights to {kinds[2]}"
    in_c = node.input(1).shape[3]
    groups = node.input(0).shape[3] // in_c
    own = len(w.plain) // groups
    for group in range(groups):
        part = w.part(group * own, own)
        add(lowering, Layer(node, cs.conv_shape(node, in_c, group), part, residual))
    return None


def lower_conv_add(lowering: Lowering, nodes: Sequence[Node]) -> str | None:
    """CONV_2D and the ADD that reads it, in one step."""
    conv, add = nodes
    result, output = conv.outputs[0], add.outputs[0]
    other = add.input(1) if add.input(0) is result else add.input(0)
    if other is result or other.shape != result.shape or output.shape != result.shape or other.constant:
        return "the addition is no residual"
    if {result.dtype, other.dtype, output.dtype} == {DType.FLOAT32}:
        plain = attr(conv, "fused_activation_function", "NONE") == "NONE"
        return _lower_conv(lowering, conv, Residual(add, other)) if plain else "an activation stands between"
    quants = [lowering.internal(t) for t in (result, other, output)]
    if any(q.dtype is not DType.INT8 or len(q.scales) != 1 for q in quants):
        return "the addition is not of int8 tensors"
    return _lower_conv(lowering, conv, Residual(add, other))


def _way(lowering: Lowering, shape: ConvShape, row: KernelRow, element: int) -> tuple[ConvShape, str]:
    """The shape cut for the way that was chosen, and why."""
    threads = lowering.threads_for(row.op, shape.macs)
    if row.mr == 1 or shape.kernel_h * shape.kernel_w == 1:
        cut = cs.with_segments(shape, "im2col")
        why = "a matrix product" if shape.depth == shape.in_c else "window by window"
        return cs.with_units(cut, row, element, threads), why
    key = conv_key(shape, row.op, threads)
    fast = lowering.kernels.pick("winograd_f32")
    winograd = element == 4 and fast is not None and fast.mr > 1
    made = lowering.choose(key, conv_options(shape, row, element, winograd))
    if made.chosen in WINOGRAD:
        return shape, made.why
    return cs.with_units(cs.with_segments(shape, made.chosen), row, element, threads), made.why


def add_residual_params(lowering: Lowering, layer: Layer) -> Mapping[str, int]:
    """The residual fields of conv_s8: TFLite's ADD of two int8 tensors with a left shift of 20."""
    if layer.residual is None:
        return NO_ADD
    tensors = (layer.node.outputs[0], layer.residual.other, layer.residual.node.outputs[0])
    own, other, output = (lowering.internal(t) for t in tensors)
    scales = [float(np.float32(q.scale)) for q in (own, other, output)]
    twice = 2.0 * max(scales[0], scales[1])
    low, high = clamp_q(layer.residual.node, output)
    fields = {"zero2": other.zero_point, "zero3": output.zero_point, "add_min": low, "add_max": high}
    factors = (scales[0] / twice, scales[1] / twice, twice / ((1 << 20) * scales[2]))
    for i, factor in enumerate(factors, 1):
        fields[f"mult{i}"], fields[f"shift{i}"] = multiplier(factor)
    return fields


def add_s8(lowering: Lowering, layer: Layer) -> None:
    """A step of conv_s8."""
    row = lowering.kernels.pick("conv_s8")
    assert row is not None, "conv_s8 has a scalar row"
    node, w = layer.node, layer.w
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    low, high = clamp_q(node, output)
    zeros = (source.zero_point, w.quant.zero_point)
    shape, why = _way(lowering, layer.shape, row, 1)
    params = {
        **shape.params(), "input_zero": zeros[0], "weight_zero": zeros[1], "output_zero": output.zero_point,
        "act_min": low, "act_max": high, "may_wrap": int(may_wrap(w)), **add_residual_params(lowering, layer),
    }  # fmt: skip
    constants = quantised_operands(lowering, w, row, zeros, shape.segments, shape.out_first)
    _step(lowering, layer, shape, params, constants, cs.scratch_s8(shape, row), why, "conv_s8")


def add_f32(lowering: Lowering, layer: Layer) -> None:
    """A step of conv_f32."""
    row = lowering.kernels.pick("conv_f32")
    assert row is not None, "conv_f32 has a scalar row"
    low, high = clamp_f32(layer.residual.node if layer.residual else layer.node)
    shape, why = _way(lowering, layer.shape, row, 4)
    side = next((WINOGRAD[way] for way in WINOGRAD if why.startswith(way)), 0)
    if side:
        _add_winograd(lowering, layer, side, (low, high), why)
        return
    params = {**shape.params(), "act_min": low, "act_max": high}
    constants = float_operands(lowering, layer.w, row, shape.out_first)
    _step(lowering, layer, shape, params, constants, cs.scratch_f32(shape, row), why, "conv_f32")


def _add_winograd(lowering: Lowering, layer: Layer, side: int, bounds: tuple[float, float], why: str) -> None:
    row = lowering.kernels.pick("winograd_f32")
    assert row is not None, "the option was offered because there is a row"
    shape, w = layer.shape, layer.w
    threads = lowering.threads_for(row.op, shape.macs)
    band, _ = cs.winograd_band(shape, side, threads)
    params: dict[str, int | float] = {name: getattr(shape, name) for name in _WINOGRAD_FIELDS}
    params.update(tile=side, band=band, act_min=bounds[0], act_max=bounds[1])
    bias = np.zeros(len(w.plain), np.float32) if w.bias is None else w.bias.astype(np.float32)
    packed = pack_winograd(w.plain, shape.in_c, side, row)
    constants = [
        lowering.const(packed, ("winograd", w.tensor, side, row.name)),
        lowering.const(pad(bias, row)),
    ]
    scratch = cs.winograd_scratch(shape, side, threads)
    units = shape.batch * -(-shape.out_h // (side * band))
    _step(lowering, layer, shape, params, constants, scratch, why, "winograd_f32", units)


_WINOGRAD_FIELDS = ("in_h", "in_w", "in_c", "out_h", "out_w", "out_c", "pad_top", "pad_left")


def _step(
    lowering: Lowering,
    layer: Layer,
    shape: ConvShape,
    params: Mapping[str, int | float],
    constants: Sequence[Ref],
    scratch: int,
    why: str,
    op: str,
    units: int = 0,
) -> None:
    """Output, input, constants, residual.

    The output may take over the residual's memory, unless that is the input as well, which is read beyond the
    pixel that is being written.
    """
    source = lowering.ref(layer.node.input(0))
    output, other, inplace = layer.node.outputs[0], None, None
    if layer.residual is not None:
        output, other = layer.residual.node.outputs[0], lowering.ref(layer.residual.other)
        why = f"{why}; with the addition"
        inplace = None if other.value is source.value else len(constants) + 2
    lowering.step(
        op, params, [lowering.ref(output), source, *constants, other], units=units or shape.units,
        scratch=scratch, why=why, work=shape.macs, inplace=inplace,
    )  # fmt: skip


def add_hybrid(lowering: Lowering, layer: Layer) -> None:
    """Steps for float activations with int8 weights: each image is quantised, then multiplied as integers."""
    row = lowering.kernels.pick("conv_hybrid")
    assert row is not None, "conv_hybrid has a scalar row"
    node, shape = layer.node, layer.shape
    low, high = clamp_f32(node)
    shape, why = _way(lowering, shape, row, 1)
    source, images = node.input(0), shape.batch
    values = lowering.temp(source.elements)
    scales, zeros = lowering.temp(4 * images), lowering.temp(4 * images)
    row_params = {"n": source.elements // images, "asymmetric": int(_asymmetric(layer))}
    given = [values, scales, zeros, lowering.ref(source)]
    why_rows = "float activations become int8, image by image"
    lowering.step("quantise_rows", row_params, given, units=images, writes=3, why=why_rows)
    params = {**shape.params(), "act_min": low, "act_max": high}
    constants = hybrid_operands(lowering, layer.w, row, shape.segments, shape.out_first)
    refs = [lowering.ref(node.outputs[0]), values, *constants, scales, zeros]
    scratch = cs.scratch_s8(shape, row)
    lowering.step("conv_hybrid", params, refs, units=shape.units, scratch=scratch, why=why, work=shape.macs)


def add_s16(lowering: Lowering, layer: Layer) -> None:
    """A step of conv_s16: int16 activations, int8 weights."""
    row = lowering.kernels.pick("conv_s16")
    assert row is not None, "conv_s16 has a scalar row"
    node = layer.node
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    if source.zero_point or output.zero_point:
        raise RefusedError("int16 activations with a zero point")
    low, high = clamp_q(node, output)
    shape = cs.with_units(cs.with_segments(layer.shape, "im2col"), row, 2, lowering.threads)
    params = {**shape.params(), "wide": int(wide_bias(node)), "act_min": low, "act_max": high}
    refs = [lowering.ref(node.outputs[0]), lowering.ref(node.input(0)), *plain_operands(lowering, layer.w)]
    scratch = 2 * shape.depth
    why = "window by window"
    lowering.step("conv_s16", params, refs, units=shape.units, scratch=scratch, why=why, work=shape.macs)


def _asymmetric(layer: Layer) -> bool:
    """As edged.graph.ops: TFLite's conv quantises asymmetrically where scales differ or groups exist."""
    if layer.node.op == "fully_connected":
        outputs, depth = layer.w.plain.shape
        if layer.w.quant.dtype is DType.INT4 and outputs >= 4 and depth >= 32 and depth % 2 == 0:
            return False  # LiteRT's int4 kernel
        return bool(attr(layer.node, "asymmetric_quantize_inputs", False))
    grouped = layer.node.input(1).shape[3] != layer.node.input(0).shape[3]
    return grouped or len(set(layer.w.quant.scales)) > 1


_Add = Callable[[Lowering, Layer], None]
_ADD: Mapping[tuple[DType, DType, DType], _Add] = {
    (DType.INT8, DType.INT8, DType.INT8): add_s8,
    (DType.INT8, DType.INT4, DType.INT8): add_s8,
    (DType.INT16, DType.INT8, DType.INT16): add_s16,
    (DType.INT16, DType.INT4, DType.INT16): add_s16,
    (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32): add_f32,
    (DType.FLOAT32, DType.INT8, DType.FLOAT32): add_hybrid,
    (DType.FLOAT32, DType.INT4, DType.FLOAT32): add_hybrid,
}
"""(input, weights, output) -> what adds the steps of a convolution."""


# ---- fully connected ----


def lower_fully_connected(lowering: Lowering, node: Node) -> str | None:
    quantization = node.input(1).quantization
    if quantization is not None and quantization.block_size:
        return lower_blockwise(lowering, node)
    w = weights_of(lowering, node)
    if isinstance(w, str):
        return w
    kinds = (lowering.internal(node.input(0)).dtype, w.quant.dtype, lowering.internal(node.outputs[0]).dtype)
    rows = node.outputs[0].elements // len(w.plain)
    channels, depth = w.plain.shape
    few, many = _FC.get(kinds, (None, None))
    if few is None or many is None:
        return f"a fully connected layer of {kinds[0]} with {kinds[1]} weights to {kinds[2]}"
    shape = matrix_shape(rows, depth, channels)
    if many is add_hybrid:
        shape = one_pixel_shape(rows, depth, channels)
    (few if rows <= FEW_ROWS else many)(lowering, Layer(node, shape, w))
    return None


def matrix_shape(rows: int, depth: int, channels: int) -> ConvShape:
    """A product of matrices as a 1x1 convolution of one image."""
    return ConvShape(1, rows, 1, depth, depth, 0, rows, 1, channels, channels, 0, 1, 1, 1, 1, 1, 1, 0, 0)


def one_pixel_shape(rows: int, depth: int, channels: int) -> ConvShape:
    """The same with every row an image of one pixel."""
    return ConvShape(rows, 1, 1, depth, depth, 0, 1, 1, channels, channels, 0, 1, 1, 1, 1, 1, 1, 0, 0)


def fc_columns(channels: int, row: KernelRow, threads: int) -> int:
    """Output channels of a unit: all, or about two units per thread, in multiples of NR."""
    if threads == 1:
        return channels
    return min(channels, max(64, up(-(-channels // (2 * threads)), max(row.nr, 16))))


def add_fc_s8(lowering: Lowering, layer: Layer) -> None:
    """A step of fc_s8."""
    row = lowering.kernels.pick("fc_s8")
    assert row is not None, "fc_s8 has a scalar row"
    node, w, shape = layer.node, layer.w, layer.shape
    source, output = lowering.internal(node.input(0)), lowering.internal(node.outputs[0])
    low, high = clamp_q(node, output)
    zeros = (source.zero_point, w.quant.zero_point)
    columns = fc_columns(shape.out_c, row, lowering.threads_for(row.op, shape.macs))
    params = {
        "rows": shape.out_h, "depth": shape.depth, "out_c": shape.out_c, "columns": columns,
        "input_zero": zeros[0], "weight_zero": zeros[1], "output_zero": output.zero_point,
        "act_min": low, "act_max": high,
    }  # fmt: skip
    constants = quantised_operands(lowering, w, row, zeros, 1, 0)
    refs = [lowering.ref(node.outputs[0]), lowering.ref(node.input(0)), *constants]
    scratch = cs.scratch_fc_s8(shape.out_h, shape.depth, row)
    lowering.step("fc_s8", params, refs, units=-(-shape.out_c // columns), scratch=scratch, work=shape.macs)


def add_fc_f32(lowering: Lowering, layer: Layer) -> None:
    """A step of fc_f32."""
    row = lowering.kernels.pick("fc_f32")
    assert row is not None, "fc_f32 has a scalar row"
    node, shape = layer.node, layer.shape
    low, high = clamp_f32(node)
    columns = fc_columns(shape.out_c, row, lowering.threads_for(row.op, shape.macs))
    params = {
        "rows": shape.out_h, "depth": shape.depth, "out_c": shape.out_c, "columns": columns,
        "act_min": low, "act_max": high,
    }  # fmt: skip
    constants = float_operands(lowering, layer.w, row, 0)
    refs = [lowering.ref(node.outputs[0]), lowering.ref(node.input(0)), *constants]
    lowering.step("fc_f32", params, refs, units=-(-shape.out_c // columns), work=shape.macs)


_FC: Mapping[tuple[DType, DType, DType], tuple[_Add, _Add]] = {
    (DType.INT8, DType.INT8, DType.INT8): (add_fc_s8, add_s8),
    (DType.INT8, DType.INT4, DType.INT8): (add_fc_s8, add_s8),
    (DType.INT16, DType.INT8, DType.INT16): (add_s16, add_s16),
    (DType.INT16, DType.INT4, DType.INT16): (add_s16, add_s16),
    (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32): (add_fc_f32, add_f32),
    (DType.FLOAT32, DType.INT8, DType.FLOAT32): (add_hybrid, add_hybrid),
    (DType.FLOAT32, DType.INT4, DType.FLOAT32): (add_hybrid, add_hybrid),
    (DType.FLOAT32, DType.INT2, DType.FLOAT32): (add_hybrid, add_hybrid),
    (DType.INT8, DType.INT2, DType.INT8): (add_fc_s8, add_s8),
}
"""(input, weights, output) -> what adds the step of few rows, of many."""

LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "conv_2d": lower_conv_2d,
    "fully_connected": lower_fully_connected,
}

GROUPS: tuple[tuple[tuple[str, ...], Callable[[Lowering, Sequence[Node]], str | None]], ...] = (
    (("conv_2d", "add"), lower_conv_add),
)
