"""CONV_3D and CONV_3D_TRANSPOSE, float32: direct, with the weights' output channels innermost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.graph.arrays import Array, constant
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.geometry import axis
from edged.graph.ops.spec import attr
from edged_backends.lower.scale import clamp_f32
from edged_backends.lowering import Lowering


def lower_conv_3d(lowering: Lowering, node: Node) -> str | None:
    """Inputs: input, filter (depth, height, width, inputs, outputs), bias."""
    source, weights = node.input(0), node.input(1)
    reason = _refusal(source, weights, node.optional(2))
    if reason is None:
        _add(lowering, node, source, constant(weights), node.optional(2), source.shape[1:4], False)
    return reason


def lower_conv_3d_transpose(lowering: Lowering, node: Node) -> str | None:
    """Inputs: output shape, filter (depth, height, width, outputs, inputs), input, bias."""
    source, weights = node.input(2), node.input(1)
    reason = _refusal(source, weights, node.optional(3))
    if reason is None:
        turned = constant(weights).swapaxes(3, 4)
        _add(lowering, node, source, turned, node.optional(3), node.outputs[0].shape[1:4], True)
    return reason


def _refusal(source: Tensor, weights: Tensor, bias: Tensor | None) -> str | None:
    if not weights.constant or (bias is not None and not bias.constant):
        return "a convolution of volumes whose weights are not constant"
    if {source.dtype, weights.dtype} != {DType.FLOAT32}:
        return f"a convolution of volumes of {source.dtype} with {weights.dtype} weights"
    return None


def _add(
    lowering: Lowering, node: Node, source: Tensor, weights: Array, bias: Tensor | None, sizes: Sequence[int],
    transposed: bool,
) -> None:  # fmt: skip
    """A step. `sizes`: of what the windows slide over, the output where `transposed`."""
    output = node.outputs[0]
    low, high = clamp_f32(node)
    params: dict[str, int | float] = {
        "in_c": weights.shape[3], "out_c": weights.shape[4], "transposed": int(transposed),
        "act_min": low, "act_max": high,
    }  # fmt: skip
    padding = attr(node, "padding", "SAME")
    for i, name in enumerate("dhw"):
        stride = int(attr(node, f"stride_{name}", 1))
        dilation = int(attr(node, f"dilation_{name}_factor", 1))
        window = axis(padding, sizes[i], weights.shape[i], stride, dilation, (0, 0), node.where)
        params |= {f"in_{name}": source.shape[1 + i], f"out_{name}": output.shape[1 + i]}
        params |= {f"kernel_{name}": weights.shape[i], f"stride_{name}": stride}
        params |= {f"dilation_{name}": dilation, f"before_{name}": window.before}
    constants = [
        lowering.const(weights.astype(np.float32)),
        None if bias is None else lowering.const(constant(bias).astype(np.float32)),
    ]
    refs = [lowering.ref(output), lowering.ref(source), *constants]
    places = source.elements // source.shape[4] if transposed else output.elements // output.shape[4]
    units = output.shape[0] * output.shape[1] * output.shape[2]
    lowering.step("conv_3d_f32", params, refs, units=units, work=places * weights.size)


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "conv_3d": lower_conv_3d, "conv_3d_transpose": lower_conv_3d_transpose,
}  # fmt: skip
