"""Operators that move elements without looking at them: reshaping, transposing, joining, splitting, padding,
repeating."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr, quantised

Shapes = Sequence[Shape | None]


def operand(arrays: Arrays, index: int) -> Array:
    """A required input."""
    array = arrays[index]
    assert array is not None
    return array


def ints(array: Array | None) -> tuple[int, ...] | None:
    """A tensor of sizes, axes or positions as plain integers; None when it is not known."""
    return None if array is None else tuple(int(v) for v in np.asarray(array).reshape(-1))


def axis_of(node: Node, axis: int, rank: int) -> int:
    """A possibly negative axis within `rank` dimensions."""
    if not -rank <= axis < rank:
        raise ShapeError(f"{node.where}: axis {axis} is out of range for {rank} dimensions")
    return axis % rank


def full_shape(node: Node, elements: int, wanted: Sequence[int]) -> Shape:
    """`wanted` with its -1 filled in."""
    holes = [i for i, d in enumerate(wanted) if d == -1]
    known = prod(d for d in wanted if d != -1)
    if len(holes) > 1 or any(d < -1 for d in wanted):
        raise ShapeError(f"{node.where}: cannot reshape to {tuple(wanted)}")
    if holes and (known == 0 or elements % known):
        raise ShapeError(f"{node.where}: {elements} elements do not reshape to {tuple(wanted)}")
    shape = tuple(elements // known if d == -1 else d for d in wanted)
    if prod(shape) != elements:
        raise ShapeError(f"{node.where}: {elements} elements do not reshape to {tuple(wanted)}")
    return shape


def _wanted(node: Node, second: Array | None) -> Sequence[int] | None:
    """The new shape: the second input, else the attribute; an attribute of (0,) is how old files say "a
    scalar"."""
    if node.optional(1) is not None:
        return ints(second)
    new = tuple(attr(node, "new_shape", ()) or ())
    return () if new == (0,) else new


def infer_reshape(node: Node, shapes: Shapes, value: Value) -> Shapes:
    wanted = _wanted(node, value(1) if len(node.inputs) > 1 else None)
    if wanted is None or shapes[0] is None:
        return [None]
    return [full_shape(node, prod(shapes[0]), wanted)]


def reshape(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    wanted = _wanted(node, arrays[1] if len(arrays) > 1 else None)
    assert wanted is not None
    return [x.reshape(full_shape(node, x.size, wanted))]


def infer_squeeze(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape = shapes[0]
    if shape is None:
        return [None]
    axes = {axis_of(node, a, len(shape)) for a in attr(node, "squeeze_dims", ()) or ()}
    for axis in axes:
        if shape[axis] != 1:
            raise ShapeError(f"{node.where}: dimension {axis} of {shape} is not 1 and cannot be squeezed")
    return [tuple(d for i, d in enumerate(shape) if not (i in axes if axes else d == 1))]


def squeeze(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    (shape,) = infer_squeeze(node, [x.shape], lambda _i: None)
    assert shape is not None
    return [x.reshape(shape)]


def infer_expand(node: Node, shapes: Shapes, value: Value) -> Shapes:
    axis = ints(value(1))
    if axis is None or shapes[0] is None:
        return [None]
    at = axis_of(node, axis[0], len(shapes[0]) + 1)
    return [(*shapes[0][:at], 1, *shapes[0][at:])]


def expand_dims(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    return [np.expand_dims(x, axis_of(node, int(operand(arrays, 1).reshape(-1)[0]), x.ndim + 1))]


def infer_transpose(node: Node, shapes: Shapes, value: Value) -> Shapes:
    perm = ints(value(1))
    if perm is None or shapes[0] is None:
        return [None]
    return [tuple(shapes[0][p] for p in _permutation(node, perm, len(shapes[0])))]


def _permutation(node: Node, perm: Sequence[int], rank: int) -> list[int]:
    order = [axis_of(node, p, rank) for p in perm]
    if sorted(order) != list(range(rank)):
        raise ShapeError(f"{node.where}: {tuple(perm)} is not a permutation of {rank} dimensions")
    return order


def transpose(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, perm = operand(arrays, 0), ints(operand(arrays, 1))
    assert perm is not None
    return [x.transpose(_permutation(node, perm, x.ndim))]


def infer_concat(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    known = [s for s in shapes if s is not None]
    if len(known) != len(shapes):
        return [None]
    axis = axis_of(node, attr(node, "axis", 0), len(known[0]))
    for shape in known[1:]:
        if len(shape) != len(known[0]) or any(
            a != b for i, (a, b) in enumerate(zip(shape, known[0], strict=True)) if i != axis
        ):
            raise ShapeError(f"{node.where}: {shape} and {known[0]} do not join along axis {axis}")
    return [tuple(sum(s[i] for s in known) if i == axis else d for i, d in enumerate(known[0]))]


def _same_scale(node: Node, index: int, x: Array) -> Array:
    """uint8 inputs of another quantisation than the output's are rescaled, in float32, as TFLite's
    ConcatenationWithScaling."""
    source, result = node.input(index).quantization, node.outputs[0].quantization
    if x.dtype != np.uint8 or not quantised(node.input(index)) or source is None or result is None:
        return x
    if (source.scale, source.zero_point) == (result.scale, result.zero_point):
        return x
    inverse = np.float32(1.0) / np.float32(result.scale)
    scale = np.float32(source.scale) * inverse
    bias = np.float32(-source.zero_point) * scale
    real = fp.round_half_away(x.astype(np.float32) * scale + bias) + result.zero_point
    stored: Array = np.clip(real, 0, 255).astype(np.uint8)
    return stored


def concatenation(node: Node, arrays: Arrays) -> Sequence[Array]:
    parts = [_same_scale(node, i, a) for i, a in enumerate(arrays) if a is not None]
    joined = np.concatenate(parts, axis=axis_of(node, attr(node, "axis", 0), parts[0].ndim))
    activation = attr(node, "fused_activation_function", "NONE")
    return [fp.activate(joined, activation) if joined.dtype.kind == "f" else joined]


def infer_pack(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    first = shapes[0]
    if first is None or any(s is None for s in shapes):
        return [None]
    if any(s != first for s in shapes):
        raise ShapeError(f"{node.where}: inputs of shapes {shapes} cannot be packed")
    axis = axis_of(node, attr(node, "axis", 0), len(first) + 1)
    return [(*first[:axis], len(shapes), *first[axis:])]


def pack(node: Node, arrays: Arrays) -> Sequence[Array]:
    parts = [a for a in arrays if a is not None]
    return [np.stack(parts, axis=axis_of(node, attr(node, "axis", 0), parts[0].ndim + 1))]


def infer_unpack(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    shape = shapes[0]
    if shape is None:
        return [None] * len(node.outputs)
    axis = axis_of(node, attr(node, "axis", 0), len(shape))
    if shape[axis] != len(node.outputs):
        raise ShapeError(
            f"{node.where}: dimension {axis} of {shape} does not unpack into {len(node.outputs)} outputs"
        )
    return [(*shape[:axis], *shape[axis + 1 :])] * shape[axis]


def unpack(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    infer_unpack(node, [x.shape], lambda _i: None)
    return list(np.moveaxis(x, axis_of(node, attr(node, "axis", 0), x.ndim), 0))


def _split_sizes(node: Node, total: int, sizes: Sequence[int]) -> list[int]:
    """The parts' lengths, one of which may be -1."""
    known = sum(s for s in sizes if s != -1)
    full = [total - known if s == -1 else s for s in sizes]
    if sum(full) != total or min(full, default=0) < 0 or list(sizes).count(-1) > 1:
        raise ShapeError(f"{node.where}: {total} does not split into {tuple(sizes)}")
    return full


def _parts_shapes(shape: Shape, axis: int, sizes: Sequence[int]) -> Shapes:
    return [(*shape[:axis], s, *shape[axis + 1 :]) for s in sizes]


def _cut(x: Array, axis: int, sizes: Sequence[int]) -> list[Array]:
    return list(np.split(x, np.cumsum(sizes)[:-1], axis=axis))


def _even(node: Node, total: int) -> list[int]:
    count = attr(node, "num_splits", 0) or len(node.outputs)
    if total % count:
        raise ShapeError(f"{node.where}: {total} does not split into {count} equal parts")
    return [total // count] * count


def infer_split(node: Node, shapes: Shapes, value: Value) -> Shapes:
    axis, shape = ints(value(0)), shapes[1]
    if axis is None or shape is None:
        return [None] * len(node.outputs)
    at = axis_of(node, axis[0], len(shape))
    return _parts_shapes(shape, at, _even(node, shape[at]))


def split(node: Node, arrays: Arrays) -> Sequence[Array]:
    axis, x = operand(arrays, 0), operand(arrays, 1)
    at = axis_of(node, int(axis.reshape(-1)[0]), x.ndim)
    return _cut(x, at, _even(node, x.shape[at]))


def infer_split_v(node: Node, shapes: Shapes, value: Value) -> Shapes:
    sizes, axis, shape = ints(value(1)), ints(value(2)), shapes[0]
    if sizes is None or axis is None or shape is None:
        return [None] * len(node.outputs)
    at = axis_of(node, axis[0], len(shape))
    return _parts_shapes(shape, at, _split_sizes(node, shape[at], sizes))


def split_v(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, sizes = operand(arrays, 0), ints(operand(arrays, 1))
    assert sizes is not None
    at = axis_of(node, int(operand(arrays, 2).reshape(-1)[0]), x.ndim)
    return _cut(x, at, _split_sizes(node, x.shape[at], sizes))


def _amounts(node: Node, amounts: Array | None, rank: int) -> list[tuple[int, int]] | None:
    if amounts is None:
        return None
    if amounts.shape != (rank, 2) or (amounts < 0).any():
        raise ShapeError(f"{node.where}: paddings must be {rank} pairs that are not negative")
    return [(int(a), int(b)) for a, b in amounts]


def infer_pad(node: Node, shapes: Shapes, value: Value) -> Shapes:
    if shapes[0] is None:
        return [None]
    amounts = _amounts(node, value(1), len(shapes[0]))
    if amounts is None:
        return [None]
    return [tuple(a + d + b for d, (a, b) in zip(shapes[0], amounts, strict=True))]


def pad(node: Node, arrays: Arrays) -> Sequence[Array]:
    """PAD with real zero (a quantised tensor's zero point), PADV2 with its third input."""
    x = operand(arrays, 0)
    amounts = _amounts(node, operand(arrays, 1), x.ndim)
    assert amounts is not None
    fill = arrays[2] if len(arrays) > 2 else None
    quantization = node.outputs[0].quantization
    zero = quantization.zero_point if quantised(node.outputs[0]) and quantization is not None else 0
    value = zero if fill is None else fill.reshape(-1)[0]
    return [np.pad(x, amounts, constant_values=value)]


def mirror_pad(node: Node, arrays: Arrays) -> Sequence[Array]:
    """REFLECT leaves the border out, SYMMETRIC repeats it."""
    x = operand(arrays, 0)
    amounts = _amounts(node, operand(arrays, 1), x.ndim)
    assert amounts is not None
    reflect = attr(node, "mode", "REFLECT") == "REFLECT"
    for size, pair in zip(x.shape, amounts, strict=True):
        if max(pair) > size - reflect:
            raise ShapeError(f"{node.where}: padding {pair} is more than a dimension of {size} mirrors")
    return [np.pad(x, amounts, mode="reflect" if reflect else "symmetric")]


def infer_tile(node: Node, shapes: Shapes, value: Value) -> Shapes:
    times = ints(value(1))
    if times is None or shapes[0] is None:
        return [None]
    if len(times) != len(shapes[0]):
        raise ShapeError(f"{node.where}: {len(times)} multiples for {len(shapes[0])} dimensions")
    return [tuple(d * t for d, t in zip(shapes[0], times, strict=True))]


def tile(node: Node, arrays: Arrays) -> Sequence[Array]:
    x, times = operand(arrays, 0), ints(operand(arrays, 1))
    assert times is not None
    infer_tile(node, [x.shape], lambda _i: arrays[1])
    return [np.tile(x, times)]


def broadcast(node: Node, shapes: Sequence[Shape]) -> Shape:
    """The common shape, or ShapeError."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"{node.where}: shapes {', '.join(map(str, shapes))} do not broadcast") from None


def infer_broadcast_to(node: Node, shapes: Shapes, value: Value) -> Shapes:
    wanted = ints(value(1))
    if wanted is None or shapes[0] is None:
        return [wanted]
    if broadcast(node, [shapes[0], wanted]) != wanted:
        raise ShapeError(f"{node.where}: {shapes[0]} does not broadcast to {wanted}")
    return [wanted]


def broadcast_to(node: Node, arrays: Arrays) -> Sequence[Array]:
    x = operand(arrays, 0)
    (shape,) = infer_broadcast_to(node, [x.shape], lambda _i: arrays[1])
    assert shape is not None
    return [np.broadcast_to(x, shape)]


def infer_broadcast_args(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    if shapes[0] is None or shapes[1] is None:
        return [None]
    return [(max(shapes[0][0], shapes[1][0]),)]


def broadcast_args(node: Node, arrays: Arrays) -> Sequence[Array]:
    left, right = ints(operand(arrays, 0)) or (), ints(operand(arrays, 1)) or ()
    return [np.array(broadcast(node, [left, right]), operand(arrays, 0).dtype)]


_RESHAPE = {"new_shape": ()}

OPS: tuple[OpSpec, ...] = (
    OpSpec("reshape", infer_reshape, reshape, _RESHAPE, (1, 2)),
    OpSpec("squeeze", infer_squeeze, squeeze, {"squeeze_dims": ()}),
    OpSpec("expand_dims", infer_expand, expand_dims, {}, (2, 2)),
    OpSpec("transpose", infer_transpose, transpose, {}, (2, 2)),
    OpSpec(
        "concatenation",
        infer_concat,
        concatenation,
        {"axis": 0, "fused_activation_function": "NONE"},
        (1, None),
    ),
    OpSpec("pack", infer_pack, pack, {"values_count": 0, "axis": 0}, (1, None)),
    OpSpec("unpack", infer_unpack, unpack, {"num": 0, "axis": 0}, (1, 1), (1, None)),
    OpSpec("split", infer_split, split, {"num_splits": 0}, (2, 2), (1, None)),
    OpSpec("split_v", infer_split_v, split_v, {"num_splits": 0}, (3, 3), (1, None)),
    OpSpec("pad", infer_pad, pad, {}, (2, 2)),
    OpSpec("padv2", infer_pad, pad, {}, (3, 3)),
    OpSpec("mirror_pad", infer_pad, mirror_pad, {"mode": "REFLECT"}, (2, 2)),
    OpSpec("tile", infer_tile, tile, {}, (2, 2)),
    OpSpec("broadcast_to", infer_broadcast_to, broadcast_to, {}, (2, 2)),
    OpSpec("broadcast_args", infer_broadcast_args, broadcast_args, {}, (2, 2)),
)
