"""MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL over the axes of the second input.

float32, int32, int64, bool; quantised int8, uint8 and int16. MEAN and SUM of int8 and int16 rescale the
centred sum once, in fixed point, as TFLite Micro; LiteRT's optimised kernels scale with float32 (SUM, and
MEAN over height and width of four dimensions) and are at times 1 beside it. uint8, which TFLite Micro has
not, is LiteRT's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node, Shape, Tensor
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.broadcast import operand, rescaled, scale_of, store, zero_point_of
from edged.graph.ops.spec import Array, Arrays, OpSpec, Reference, Value, attr, quantised

Shapes = Sequence[Shape | None]
Axes = tuple[int, ...]


def axes_of(node: Node, axis: Array, rank: int) -> Axes:
    """The axes to reduce, each once, in order; ShapeError for one that the input has not."""
    axes = {int(a) + rank if int(a) < 0 else int(a) for a in axis.reshape(-1)}
    if rank == 0 and axes <= {0, -1}:
        return ()
    if any(a < 0 or a >= rank for a in axes):
        raise ShapeError(f"{node.where}: axis {axis.tolist()} is out of range for {rank} dimensions")
    return tuple(sorted(axes))


def infer_reduce(node: Node, shapes: Shapes, value: Value) -> Shapes:
    axis = value(1)
    if shapes[0] is None or axis is None:
        return [None]
    axes = axes_of(node, axis, len(shapes[0]))
    if attr(node, "keep_dims", False):
        return [tuple(1 if i in axes else d for i, d in enumerate(shapes[0]))]
    return [tuple(d for i, d in enumerate(shapes[0]) if i not in axes)]


def _ratio(node: Node) -> tuple[int, int]:
    return fp.quantize_multiplier(float(scale_of(node.input(0))) / float(scale_of(node.outputs[0])))


def _total(node: Node, x: Array, axes: Axes, keep: bool) -> tuple[Array, int]:
    """(centred sums as an int32 register holds them, elements in each)."""
    count = prod(x.shape[a] for a in axes)
    total = x.sum(axis=axes, keepdims=keep, dtype=np.int64) - zero_point_of(node.input(0)) * count
    return fp.wrap_int32(np.asarray(total)), count


def mean_quantised(node: Node, x: Array, axes: Axes, keep: bool) -> Array:
    """The division goes into the multiplier: it is shifted up by the bits of the count, then divided,
    truncated.
    """
    if x.dtype == np.uint8 and keep and x.ndim == 4 and axes == (1, 2):
        return _mean_over_image(node, x)
    total, count = _total(node, x, axes, keep)
    multiplier, shift = _ratio(node)
    up = min(count.bit_length() - 1, 32, 31 + shift)
    scaled = fp.multiply_by_quantized_multiplier(total, (multiplier << up) // count, shift - up)
    return store(node, scaled, x.dtype)


def _mean_over_image(node: Node, x: Array) -> Array:
    """LiteRT's uint8 form: the stored sum rescaled with float32 scales, the zero points rounded into one
    bias.
    """
    source, result = scale_of(node.input(0)), scale_of(node.outputs[0])
    offset = np.float32(zero_point_of(node.input(0))) * source / result
    bias = int(offset + np.float32(0.5 if offset > 0 else -0.5))
    real = source / (np.float32(x.shape[1] * x.shape[2]) * result)
    total = x.sum(axis=(1, 2), keepdims=True, dtype=np.int64)
    return store(node, rescaled(np.asarray(total), float(real)) - bias, x.dtype)


def _sum_in_float(node: Node, x: Array, axes: Axes, keep: bool) -> Array:
    """LiteRT's uint8 form: one float32 multiplication and addition."""
    count = prod(x.shape[a] for a in axes)
    scale = scale_of(node.input(0)) / scale_of(node.outputs[0])
    bias = np.float32(-zero_point_of(node.input(0))) * scale * np.float32(count)
    total = np.asarray(x.sum(axis=axes, keepdims=keep, dtype=np.int64)).astype(np.float32)
    return store(node, fp.round_half_away(total * scale + bias).astype(np.int64), x.dtype)


def sum_quantised(node: Node, x: Array, axes: Axes, keep: bool) -> Array:
    if x.dtype == np.uint8:
        return _sum_in_float(node, x, axes, keep)
    total, _ = _total(node, x, axes, keep)
    return store(node, fp.multiply_by_quantized_multiplier(total, *_ratio(node)), x.dtype)


def _moved(x: Array, axes: Axes) -> Array:
    """The reduced dimensions flattened into the first, in row-major order."""
    rest = [i for i in range(x.ndim) if i not in axes]
    ordered = np.transpose(x, (*axes, *rest))
    return ordered.reshape(prod(x.shape[a] for a in axes), *(x.shape[i] for i in rest))


def prod_quantised(node: Node, x: Array, axes: Axes, keep: bool) -> Array:
    """Each factor is rescaled by input scale / nth root of output scale, so that no product overflows
    (LiteRT).

    One factor alone is copied as it is stored, whatever the scales: so does LiteRT (its reference kernel
    rescales it).
    """
    factors = _moved(x.astype(np.int64) - zero_point_of(node.input(0)), axes)
    kept = tuple(1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes)
    if len(factors) == 1:
        return x.reshape(kept)
    real = float(scale_of(node.input(0))) / float(scale_of(node.outputs[0])) ** (1.0 / len(factors))
    result = factors[0]
    for factor in factors[1:]:
        result = _rescaled_wide(result * factor, real)
    result = _rescaled_wide(result, real)
    return store(node, result.reshape(kept), x.dtype)


def _rescaled_wide(values: Array, real: float) -> Array:
    """int64 values times a real multiplier of 16 bits, as an int32 register holds them."""
    return fp.wrap_int32(fp.multiply_by_quantized_multiplier_64(values, *fp.quantize_multiplier(real)))


def _mean(x: Array, axes: Axes, keep: bool) -> Array:
    """Floats in double precision; integers divided towards zero."""
    if x.dtype.kind == "f":
        with np.errstate(invalid="ignore", divide="ignore"):
            total = x.sum(axis=axes, keepdims=keep, dtype=np.float64)
            return np.asarray(total / np.float64(prod(x.shape[a] for a in axes))).astype(x.dtype)
    total, count = np.asarray(x.sum(axis=axes, keepdims=keep, dtype=np.int64)), prod(x.shape[a] for a in axes)
    quotient = np.abs(total) // max(count, 1)
    signed = np.where(total < 0, -quotient, quotient)
    return np.asarray(signed).astype(x.dtype)


def _sum(x: Array, axes: Axes, keep: bool) -> Array:
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    return np.asarray(x.sum(axis=axes, keepdims=keep, dtype=wide)).astype(x.dtype)


def _prod(x: Array, axes: Axes, keep: bool) -> Array:
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    with np.errstate(over="ignore"):
        return np.asarray(x.prod(axis=axes, keepdims=keep, dtype=wide)).astype(x.dtype)


def _extreme(x: Array, greatest: bool) -> float:
    """What the maximum (minimum) of no elements is: the least (greatest) value of the dtype."""
    if x.dtype.kind == "f":
        return -np.inf if greatest else np.inf
    low, high = fp.integer_range(str(x.dtype))
    return low if greatest else high


def _max(x: Array, axes: Axes, keep: bool) -> Array:
    return np.asarray(x.max(axis=axes, keepdims=keep, initial=_extreme(x, True)))


def _min(x: Array, axes: Axes, keep: bool) -> Array:
    return np.asarray(x.min(axis=axes, keepdims=keep, initial=_extreme(x, False)))


Plain = Callable[[Array, Axes, bool], Array]
Quantised = Callable[[Node, Array, Axes, bool], Array]


def _same_quantisation(a: Tensor, b: Tensor) -> bool:
    return scale_of(a) == scale_of(b) and zero_point_of(a) == zero_point_of(b)


def _reduction(plain: Plain, integer: Quantised | None, kinds: str) -> Reference:
    def reference(node: Node, arrays: Arrays) -> Sequence[Array]:
        x, axis = operand(arrays, 0), operand(arrays, 1)
        axes, keep = axes_of(node, axis, x.ndim), bool(attr(node, "keep_dims", False))
        scaled = quantised(node.input(0)) and quantised(node.outputs[0]) and x.dtype.itemsize <= 2
        if scaled and integer is not None and x.size:
            return [integer(node, x, axes, keep)]
        if scaled and not _same_quantisation(node.input(0), node.outputs[0]):
            raise UnsupportedError(f"{node.where}: {node.op} needs one quantisation for input and output")
        if x.dtype.kind not in kinds:
            raise UnsupportedError(f"{node.where}: {node.op} has no meaning for {x.dtype}")
        return [plain(x, axes, keep)]

    return reference


_TABLE: tuple[tuple[str, Plain, Quantised | None, str], ...] = (
    ("mean", _mean, mean_quantised, "fiu"),
    ("sum", _sum, sum_quantised, "fiu"),
    ("reduce_prod", _prod, prod_quantised, "fiu"),
    ("reduce_max", _max, None, "fiu"),
    ("reduce_min", _min, None, "fiu"),
    ("reduce_any", lambda x, axes, keep: np.asarray(x.any(axis=axes, keepdims=keep)), None, "b"),
    ("reduce_all", lambda x, axes, keep: np.asarray(x.all(axis=axes, keepdims=keep)), None, "b"),
)

OPS: tuple[OpSpec, ...] = tuple(
    OpSpec(name, infer_reduce, _reduction(plain, integer, kinds), {"keep_dims": False}, inputs=(2, 2))
    for name, plain, integer, kinds in _TABLE
)
