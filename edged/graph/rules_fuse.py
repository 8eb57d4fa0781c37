"""Rules that fuse: activations, padding and per-channel affine nodes into the weighted node before or after
them.

Every rule keeps integer results to the byte: a quantised activation is only fused when it neither rescales
nor shifts, padding only when what it pads with is what the weighted node would read outside its input.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from edged.graph.arrays import Array, constant
from edged.graph.constants import make_constant, with_array
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.spec import attr, quantised
from edged.graph.rewrite import Match, Pat, Replacement, Rule

_CARRIERS = ("conv_2d", "depthwise_conv_2d", "fully_connected", "add", "sub", "mul", "div",
             "average_pool_2d", "max_pool_2d", "concatenation")  # fmt: skip
_ACTIVATIONS = {"relu": "RELU", "relu6": "RELU6", "relu_n1_to_1": "RELU_N1_TO_1"}
_NONNEGATIVE = ("RELU", "RELU6")


def with_attrs(node: Node, **changes: Any) -> Node:
    """`node` with some attributes replaced."""
    return replace(node, attrs=MappingProxyType({**node.attrs, **changes}))


def _plain(node: Node) -> bool:
    return bool(attr(node, "fused_activation_function", "NONE") == "NONE")


def _same_quantization(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and (not quantised(a) or a.quantization == b.quantization)


def fuse_activation(m: Match) -> Replacement:
    """carrier -> relu: the carrier clamps by itself."""
    carrier, act = m["carrier"], m["root"]
    if carrier.outputs[0].dtype is not DType.FLOAT32 and not quantised(carrier.outputs[0]):
        return None
    if carrier.op == "concatenation" or not _same_quantization(carrier.outputs[0], act.outputs[0]):
        return None
    return replace(with_attrs(carrier, fused_activation_function=_ACTIVATIONS[act.op]), outputs=act.outputs)


def _spatial_padding(pad: Node) -> tuple[int, int, int, int] | None:
    """(top, bottom, left, right) when a PAD touches only height and width of an NHWC tensor, by constants >=
    0."""
    amounts = pad.optional(1)
    if amounts is None or not amounts.constant or amounts.shape != (4, 2):
        return None
    values = constant(amounts).astype(np.int64)
    if values[0].any() or values[3].any() or (values < 0).any():
        return None
    return (int(values[1, 0]), int(values[1, 1]), int(values[2, 0]), int(values[2, 1]))


def _pads_with_zero(pad: Node) -> bool:
    """PAD pads with real 0; PADV2 with its constant, which must then be real 0 too."""
    fill = pad.optional(2)
    if pad.op == "pad" or fill is None:
        return True
    if not fill.constant:
        return False
    quantization = pad.input(0).quantization
    zero = quantization.zero_point if quantization is not None and quantised(pad.input(0)) else 0
    return bool((constant(fill) == zero).all())


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """(before, after) of TFLite's SAME for one dimension."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _windows(node: Node) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """((kernel, stride, dilation) of height, the same of width)."""
    if node.op in ("max_pool_2d", "average_pool_2d"):
        high, wide = node.attrs["filter_height"], node.attrs["filter_width"]
    else:
        _, high, wide, _ = node.input(1).shape
    return (
        (high, attr(node, "stride_h", 1), attr(node, "dilation_h_factor", 1)),
        (wide, attr(node, "stride_w", 1), attr(node, "dilation_w_factor", 1)),
    )


def _is_same(node: Node, inner: Tensor, pads: tuple[int, int, int, int]) -> bool:
    high, wide = _windows(node)
    rows, cols = inner.shape[1], inner.shape[2]
    return same_padding(rows, *high) == pads[:2] and same_padding(cols, *wide) == pads[2:]


def _padded(node: Node, pad: Node) -> Replacement:
    pads = _spatial_padding(pad)
    if pads is None or attr(node, "padding", "VALID") != "VALID" or len(pad.input(0).shape) != 4:
        return None
    if not _same_quantization(pad.input(0), pad.outputs[0]):
        return None
    moved = replace(node, inputs=(pad.input(0), *node.inputs[1:]))
    if _is_same(node, pad.input(0), pads):
        return with_attrs(moved, padding="SAME")
    return with_attrs(moved, padding="EXPLICIT", explicit_padding=pads)


def fuse_pad(m: Match) -> Replacement:
    """pad -> conv with VALID: SAME where the amounts are SAME's, else EXPLICIT with (top, bottom, left,
    right)."""
    return _padded(m["root"], m["pad"]) if _pads_with_zero(m["pad"]) else None


def fuse_pad_max(m: Match) -> Replacement:
    """relu-like -> pad with 0 -> max pool: 0 never wins over what a relu puts out, so padding as max pool
    does is the same.

    Each window must hold at least one real element, which padding narrower than the window ensures.
    """
    pads, pool = _spatial_padding(m["pad"]), m["root"]
    (high, _, _), (wide, _, _) = _windows(pool)
    if pads is None or max(pads[:2]) >= high or max(pads[2:]) >= wide:
        return None
    return _padded(pool, m["pad"]) if _pads_with_zero(m["pad"]) else None


def _nonnegative(node: Node) -> bool:
    return node.op in ("relu", "relu6") or attr(node, "fused_activation_function", "NONE") in _NONNEGATIVE


def _per_channel(node: Node, data: Tensor, channels: int) -> Array | None:
    """The other operand of a binary node, as `channels` float32 values, when it is such a constant."""
    other = next((t for t in node.inputs if t is not None and t is not data), None)
    if other is None or not other.constant or other.dtype is not DType.FLOAT32:
        return None
    values = constant(other)
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0], np.float32)
    if values.shape[-1:] == (channels,) and values.size == channels:
        return values.reshape(-1)
    return None


def _affine(m: Match) -> tuple[Node, Array, Array | None, Array] | None:
    """(weighted node, its weights, its bias, the channel values) when everything is float32 and constant."""
    weighted, root = m["weighted"], m["root"]
    weights, bias = weighted.input(1), weighted.optional(2)
    if not _plain(weighted) or weights.dtype is not DType.FLOAT32 or not weights.constant:
        return None
    if bias is not None and not bias.constant:
        return None
    channels = weighted.outputs[0].shape[-1]
    values = _per_channel(root, weighted.outputs[0], channels)
    if values is None or root.outputs[0].shape != weighted.outputs[0].shape:
        return None
    return weighted, constant(weights), None if bias is None else constant(bias), values


def _rebuilt(m: Match, weights: Array, bias: Array) -> Replacement:
    weighted, root = m["weighted"], m["root"]
    old = weighted.optional(2)
    new_bias = (
        with_array(old, bias) if old is not None else make_constant(f"{root.outputs[0].name}/bias", bias)
    )
    inputs = (weighted.input(0), with_array(weighted.input(1), weights), new_bias, *weighted.inputs[3:])
    fused = attr(root, "fused_activation_function", "NONE")
    return replace(with_attrs(weighted, fused_activation_function=fused), inputs=inputs, outputs=root.outputs)


def fold_scale(m: Match) -> Replacement:
    """conv -> mul by a constant per channel: scaled weights and bias."""
    found = _affine(m)
    if found is None:
        return None
    weighted, weights, bias, scale = found
    if weighted.op == "depthwise_conv_2d":
        scaled = weights * scale
    else:
        scaled = weights * scale.reshape(-1, *[1] * (weights.ndim - 1))
    return _rebuilt(m, scaled.astype(np.float32), (np.zeros_like(scale) if bias is None else bias * scale))


def fold_shift(m: Match) -> Replacement:
    """conv -> add or sub of a constant per channel: another bias."""
    found = _affine(m)
    if found is None:
        return None
    weighted, weights, bias, shift = found
    if m["root"].op == "sub":
        if m["root"].inputs[0] is not weighted.outputs[0]:
            return None
        shift = -shift
    return _rebuilt(m, weights, (shift if bias is None else bias + shift).astype(np.float32))


_CONV = ("conv_2d", "depthwise_conv_2d")
_WEIGHTED = (*_CONV, "fully_connected")
_PAD = Pat(("pad", "padv2"), name="pad")


def _behind(root: str | tuple[str, ...], side: int) -> Pat:
    feeder = Pat(_WEIGHTED, name="weighted", once=True)
    return Pat(root, (None,) * side + (feeder,))


RULES: list[Rule] = [
    (Pat(tuple(_ACTIVATIONS), (Pat(_CARRIERS, name="carrier", once=True, where=_plain),)), fuse_activation),
    (Pat(_CONV, (_PAD,)), fuse_pad),
    (
        Pat(
            "max_pool_2d",
            (replace(_PAD, inputs=(Pat((*_CARRIERS, "relu", "relu6"), name="source", where=_nonnegative),)),),
        ),
        fuse_pad_max,
    ),
    (_behind("mul", 0), fold_scale),
    (_behind("mul", 1), fold_scale),
    (_behind("add", 0), fold_shift),
    (_behind("add", 1), fold_shift),
    (_behind("sub", 0), fold_shift),
]
