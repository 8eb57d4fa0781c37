"""Data movement by strides known at load: reshape, concat, split, pad, transpose, slices, tile,
space/batch/depth, reverse.

Ops whose addresses come out of tensors are in `lower/index.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from edged.graph.arrays import Array, constant
from edged.graph.model import Node, Tensor
from edged.graph.ops.slice import strided_index
from edged.graph.ops.spec import attr
from edged_backends.lower.strides import fill, imagine, item_bytes, move, run
from edged_backends.lower.table import rescale
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.operands import Ref


def fixed(node: Node, index: int, what: str) -> list[int]:
    """The constant integers of a node's input; RefusedError when they are known only at run time."""
    tensor = node.input(index)
    if not tensor.constant:
        raise RefusedError(f"its {what} ({tensor.name}) are known only at run time")
    return [int(v) for v in constant(tensor).reshape(-1)]


def lower_alias(lowering: Lowering, node: Node) -> None:
    """reshape, squeeze, expand_dims: the same bytes."""
    source, output = node.input(0), node.outputs[0]
    if source.constant or source.variable:
        move(
            lowering,
            lowering.ref(output),
            imagine(output, (source.elements,)),
            lowering.ref(source),
            imagine(source, (source.elements,)),
        )
    else:
        lowering.alias(output, source)


def lower_concatenation(lowering: Lowering, node: Node) -> str | None:
    output, at = node.outputs[0], 0
    if attr(node, "fused_activation_function", "NONE") != "NONE":
        return "a concatenation with an activation"
    axis = int(attr(node, "axis", 0)) % max(len(output.shape), 1)
    whole = imagine(output)
    for tensor in (t for t in node.inputs if t is not None):
        if tensor.elements:
            source = rescale(lowering, node, tensor, output)
            part = _part(whole, axis, at, tensor.shape[axis])
            _put(lowering, output, part, source, tensor)
        at += tensor.shape[axis]
    return None


def _part(whole: Array, axis: int, begin: int, count: int) -> Array:
    return whole[(slice(None),) * axis + (slice(begin, begin + count),)]


def _put(lowering: Lowering, output: Tensor, part: Array, source: Ref, tensor: Tensor) -> None:
    """Part of the output = the tensor at `source`: computed there from the start where that can be, else
    copied."""
    to, piece = lowering.ref(output), run(part)
    if piece is None or not lowering.place_inside(source, to.at(*piece)):
        move(lowering, to, part, source, imagine(tensor), f"{tensor.name} into {output.name}")


def lower_pack(lowering: Lowering, node: Node) -> None:
    output = node.outputs[0]
    axis = int(attr(node, "axis", 0)) % len(output.shape)
    whole = imagine(output)
    for i, tensor in enumerate(t for t in node.inputs if t is not None):
        _put(lowering, output, whole[(slice(None),) * axis + (i, ...)], lowering.ref(tensor), tensor)


def lower_unpack(lowering: Lowering, node: Node) -> None:
    source = node.input(0)
    axis = int(attr(node, "axis", 0)) % len(source.shape)
    for i, output in enumerate(node.outputs):
        _take(lowering, output, source, imagine(source)[(slice(None),) * axis + (i, ...)])


def _take(lowering: Lowering, output: Tensor, source: Tensor, view: Array) -> None:
    """output = a view of source: the same bytes where they lie in one piece, else a copy."""
    held, piece = lowering.ref(source), run(view)
    if piece is None or not lowering.view(output, held.at(*piece)):
        move(
            lowering,
            lowering.ref(output),
            imagine(output),
            held,
            view.reshape(output.shape) if view.size == 1 else view,
        )


def _divide(lowering: Lowering, node: Node, source: Tensor, axis: int) -> None:
    at = 0
    axis %= len(source.shape)
    for output in node.outputs:
        _take(lowering, output, source, _part(imagine(source), axis, at, output.shape[axis]))
        at += output.shape[axis]


def lower_split(lowering: Lowering, node: Node) -> None:
    _divide(lowering, node, node.input(1), fixed(node, 0, "axis")[0])


def lower_split_v(lowering: Lowering, node: Node) -> None:
    _divide(lowering, node, node.input(0), fixed(node, 2, "axis")[0])


def lower_slice(lowering: Lowering, node: Node) -> None:
    begin, output = fixed(node, 1, "begins"), node.outputs[0]
    view = imagine(node.input(0))[tuple(slice(b, b + n) for b, n in zip(begin, output.shape, strict=True))]
    _take(lowering, output, node.input(0), view)


def lower_strided_slice(lowering: Lowering, node: Node) -> None:
    source = node.input(0)
    limits = (fixed(node, i, what) for i, what in ((1, "begins"), (2, "ends"), (3, "strides")))
    index = strided_index(node, source.shape, *limits)
    _take(lowering, node.outputs[0], source, imagine(source)[(*index, ...)])


def lower_transpose(lowering: Lowering, node: Node) -> None:
    _take(
        lowering,
        node.outputs[0],
        node.input(0),
        imagine(node.input(0)).transpose(fixed(node, 1, "permutation")),
    )


def lower_reverse(lowering: Lowering, node: Node) -> None:
    axes = {a % len(node.input(0).shape) for a in fixed(node, 1, "axes")}
    index = tuple(slice(None, None, -1 if i in axes else 1) for i in range(len(node.input(0).shape)))
    _take(lowering, node.outputs[0], node.input(0), imagine(node.input(0))[index])


def lower_tile(lowering: Lowering, node: Node) -> None:
    source, output = node.input(0), node.outputs[0]
    times = fixed(node, 1, "multiples")
    apart = [n for pair in zip(times, source.shape, strict=True) for n in pair]
    view = imagine(source).reshape([n for size in source.shape for n in (1, size)])
    move(
        lowering,
        lowering.ref(output),
        imagine(output, apart),
        lowering.ref(source),
        np.broadcast_to(view, apart),
    )


def lower_broadcast_to(lowering: Lowering, node: Node) -> None:
    output = node.outputs[0]
    view = np.broadcast_to(imagine(node.input(0)), output.shape)
    move(lowering, lowering.ref(output), imagine(output), lowering.ref(node.input(0)), view)


# ---- padding ----


def lower_pad(lowering: Lowering, node: Node) -> None:
    source, output = node.input(0), node.outputs[0]
    pads = fixed(node, 1, "paddings")
    value = node.optional(2)
    size = item_bytes(output)
    if value is not None:
        ref = lowering.ref(value)
    else:
        zero = lowering.internal(output).zero_point
        ref = lowering.const(np.array([zero], f"<i{size}"), ("pad", zero, size))
    fill(lowering, lowering.ref(output), ref, size, f"the padding of {output.name}")
    inside = imagine(output)[tuple(slice(b, b + n) for b, n in zip(pads[::2], source.shape, strict=True))]
    move(lowering, lowering.ref(output), inside, lowering.ref(source), imagine(source))


def lower_mirror_pad(lowering: Lowering, node: Node) -> None:
    source, output = node.input(0), node.outputs[0]
    pads = fixed(node, 1, "paddings")
    skip = 1 if attr(node, "mode", "REFLECT") == "REFLECT" else 0
    regions = []
    for n, before, after in zip(source.shape, pads[::2], pads[1::2], strict=True):
        parts = [(slice(before, before + n), slice(0, n))]
        if before:
            parts.append((slice(0, before), slice(skip, skip + before)))
        if after:
            parts.append((slice(before + n, before + n + after), slice(n - skip - after, n - skip)))
        regions.append(parts)
    to, whole, from_ = lowering.ref(output), imagine(output), imagine(source)
    for region in product(*regions):
        view = from_[tuple(s for _, s in region)]
        mirrored = view[
            tuple(slice(None, None, 1 if r is p[0] else -1) for r, p in zip(region, regions, strict=True))
        ]
        move(lowering, to, whole[tuple(t for t, _ in region)], lowering.ref(source), mirrored)


# ---- space, batch, depth ----


def lower_space_to_depth(lowering: Lowering, node: Node) -> None:
    source, output, block = node.input(0), node.outputs[0], int(attr(node, "block_size", 1))
    n, h, w, c = source.shape
    view = imagine(source).reshape(n, h // block, block, w // block, block, c).transpose(0, 1, 3, 2, 4, 5)
    move(lowering, lowering.ref(output), imagine(output, view.shape), lowering.ref(source), view)


def lower_depth_to_space(lowering: Lowering, node: Node) -> None:
    source, output, block = node.input(0), node.outputs[0], int(attr(node, "block_size", 1))
    n, h, w, c = source.shape
    view = imagine(source).reshape(n, h, w, block, block, c // block**2).transpose(0, 1, 3, 2, 4, 5)
    move(lowering, lowering.ref(output), imagine(output, view.shape), lowering.ref(source), view)


def lower_space_to_batch(lowering: Lowering, node: Node) -> None:
    """Every phase of the padded input is one batch: copied where it lies inside, zero elsewhere."""
    source, output = node.input(0), node.outputs[0]
    block, pads = fixed(node, 1, "block"), fixed(node, 2, "paddings")
    if any(pads):
        size, zero = item_bytes(output), lowering.internal(output).zero_point
        fill(
            lowering,
            lowering.ref(output),
            lowering.const(np.array([zero], f"<i{size}"), ("pad", zero, size)),
            size,
        )
    whole, from_ = imagine(output), imagine(source)
    for phase, where in enumerate(product(*(range(b) for b in block))):
        to, at = [slice(phase * source.shape[0], (phase + 1) * source.shape[0])], [slice(None)]
        for axis, (b, p, before) in enumerate(zip(block, where, pads[::2], strict=True)):
            first = -(-(before - p) // b) if before > p else 0
            begin = first * b + p - before
            count = max(0, -(-(source.shape[axis + 1] - begin) // b))
            to.append(slice(first, first + count))
            at.append(slice(begin, None, b))
        move(lowering, lowering.ref(output), whole[tuple(to)], lowering.ref(source), from_[tuple(at)])


def lower_batch_to_space(lowering: Lowering, node: Node) -> None:
    source, output = node.input(0), node.outputs[0]
    block, crops = fixed(node, 1, "block"), fixed(node, 2, "crops")
    whole, from_ = imagine(output), imagine(source)
    batch = output.shape[0]
    for phase, where in enumerate(product(*(range(b) for b in block))):
        to, at = [slice(None)], [slice(phase * batch, (phase + 1) * batch)]
        for axis, (b, p, before) in enumerate(zip(block, where, crops[::2], strict=True)):
            first = -(-(before - p) // b) if before > p else 0
            begin = first * b + p - before
            count = max(0, -(-(output.shape[axis + 1] - begin) // b))
            at.append(slice(first, first + count))
            to.append(slice(begin, None, b))
        move(lowering, lowering.ref(output), whole[tuple(to)], lowering.ref(source), from_[tuple(at)])


def lower_matrix_diag(lowering: Lowering, node: Node) -> None:
    """A diagonal among zeros."""
    output = node.outputs[0]
    if output.elements:
        zero = lowering.const(np.full(16, 0x80 if lowering.is_shifted(output) else 0, np.uint8))
        fill(lowering, lowering.ref(output), zero, item_bytes(output))
    _put_diagonal(lowering, output, node.input(0))


def lower_matrix_set_diag(lowering: Lowering, node: Node) -> None:
    """Another diagonal in a copy."""
    source, output = node.input(0), node.outputs[0]
    lowering.copy(lowering.ref(output), lowering.ref(source))
    _put_diagonal(lowering, output, node.input(1))


def _put_diagonal(lowering: Lowering, output: Tensor, diagonal: Tensor) -> None:
    view = np.diagonal(imagine(output), axis1=-2, axis2=-1)
    move(lowering, lowering.ref(output), view, lowering.ref(diagonal), imagine(diagonal))


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "reshape": lower_alias, "squeeze": lower_alias, "expand_dims": lower_alias,
    "concatenation": lower_concatenation, "pack": lower_pack, "unpack": lower_unpack,
    "split": lower_split, "split_v": lower_split_v, "slice": lower_slice,
    "strided_slice": lower_strided_slice,
    "transpose": lower_transpose, "reverse_v2": lower_reverse, "tile": lower_tile,
    "broadcast_to": lower_broadcast_to,
    "pad": lower_pad, "padv2": lower_pad, "mirror_pad": lower_mirror_pad,
    "space_to_depth": lower_space_to_depth, "depth_to_space": lower_depth_to_space,
    "space_to_batch_nd": lower_space_to_batch, "batch_to_space_nd": lower_batch_to_space,
    "matrix_diag": lower_matrix_diag, "matrix_set_diag": lower_matrix_set_diag,
}  # fmt: skip
