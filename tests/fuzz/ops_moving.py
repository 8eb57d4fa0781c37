"""Makers of cases that move elements: reshapes, slices, pads, gathers, splits."""

from __future__ import annotations

import numpy as np

from edged.graph.model import Tensor
from fuzz.ops_draft import INTS, Draft, Maker

TYPES = ("float32", *INTS, "bool")
FIXED = 0.75
"""How often an operand that decides a shape is a constant."""


def source(draft: Draft, least: int = 1, most: int = 5, kinds: tuple[str, ...] = TYPES, size: int = 5) -> Tensor:
    dtype = draft.one_of(kinds)
    return draft.put(dtype, draft.shape(least, most, size), draft.quant(dtype))




def out(tensor: Tensor) -> tuple[str, object]:
    return str(tensor.dtype), tensor.quantization


def numbers(draft: Draft, values: object, kinds: tuple[str, ...] = ("int32",), fixed: float = FIXED) -> Tensor:
    dtype = draft.one_of(kinds)
    array = np.asarray(values, dtype)
    return draft.put(dtype, array.shape, None, array, fixed)


def reshape(draft: Draft) -> None:
    x = source(draft, 0)
    left, dims = x.elements, []
    while left > 1 and draft.chance(0.8):
        d = draft.one_of([k for k in range(1, left + 1) if left % k == 0])
        dims.append(int(d))
        left //= int(d)
    dims.append(left)
    if x.elements and draft.chance(0.4):
        dims[draft.whole(0, len(dims) - 1)] = -1
    if draft.chance(0.3):
        draft.op("reshape", [x], [out(x)], {"new_shape": tuple(dims)})
    else:
        draft.op("reshape", [x, numbers(draft, dims)], [out(x)], {"new_shape": tuple(dims)} if draft.chance(0.5) else {})


def squeeze(draft: Draft) -> None:
    x = source(draft, 1)
    ones = [i - len(x.shape) * draft.chance(0.3) for i, d in enumerate(x.shape) if d == 1 and draft.chance(0.6)]
    draft.op("squeeze", [x], [out(x)], {"squeeze_dims": tuple(ones)})


def expand_dims(draft: Draft) -> None:
    x = source(draft, 0)
    rank = len(x.shape)
    axis = draft.whole(-rank - 1, rank)
    draft.op("expand_dims", [x, numbers(draft, draft.one_of((axis, [axis])), ("int32", "int64"))], [out(x)])


def transpose(draft: Draft) -> None:
    x = source(draft, 1, 6)
    order = draft.rng.permutation(len(x.shape))
    draft.op("transpose", [x, numbers(draft, order)], [out(x)])


def concatenation(draft: Draft) -> None:
    dtype = draft.one_of(TYPES)
    dims = list(draft.shape(1, 5))
    axis = draft.whole(0, len(dims) - 1)
    q = draft.quant(dtype)
    parts = []
    for _ in range(draft.whole(1, 4)):
        dims[axis] = draft.whole(0 if draft.chance(0.1) else 1, 4)
        parts.append(draft.put(dtype, tuple(dims), draft.quant(dtype) if dtype == "uint8" else q, fixed=0.2))
    draft.op("concatenation", parts, [(dtype, q)], {"axis": axis - len(dims) * draft.chance(0.3)})


def pack(draft: Draft) -> None:
    x = source(draft, 0, 4)
    parts = [x, *(draft.put(str(x.dtype), x.shape, x.quantization, fixed=0.2) for _ in range(draft.whole(0, 3)))]
    axis = draft.whole(-len(x.shape) - 1, len(x.shape))
    draft.op("pack", parts, [out(x)], {"values_count": len(parts), "axis": axis})


def unpack(draft: Draft) -> None:
    x = source(draft, 1, 5)
    axis = draft.whole(-len(x.shape), len(x.shape) - 1)
    draft.op("unpack", [x], [out(x)] * x.shape[axis], {"num": x.shape[axis], "axis": axis})


def split(draft: Draft) -> None:
    x = source(draft, 1, 5, ("float32", *INTS), size=6)
    axis = draft.whole(-len(x.shape), len(x.shape) - 1)
    count = draft.one_of([k for k in range(1, 7) if x.shape[axis] % k == 0])
    draft.op("split", [numbers(draft, draft.one_of((axis, [axis]))), x], [out(x)] * count, {"num_splits": count})


def split_v(draft: Draft) -> None:
    x = source(draft, 1, 5, ("float32", *INTS), size=8)
    axis = draft.whole(-len(x.shape), len(x.shape) - 1)
    cuts = sorted(draft.whole(0, x.shape[axis]) for _ in range(draft.whole(0, 3)))
    sizes = np.diff([0, *cuts, x.shape[axis]])
    if draft.chance(0.3):
        sizes[draft.whole(0, len(sizes) - 1)] = -1
    ins = [x, numbers(draft, sizes, ("int32", "int64")), numbers(draft, draft.one_of((axis, [axis])))]
    draft.op("split_v", ins, [out(x)] * len(sizes), {"num_splits": len(sizes)})


def pad(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        x = source(draft, 1, 5)
        most = np.asarray(x.shape)[:, None] - 1 if kind == "mirror_pad" else np.full((len(x.shape), 1), 3)
        widths = draft.rng.integers(0, np.maximum(most, 0) + 1, (len(x.shape), 2))
        ins = [x, numbers(draft, widths, ("int32", "int64"))]
        if kind == "padv2":
            ins.append(draft.put(str(x.dtype), draft.one_of(((), (1,))), x.quantization, fixed=FIXED))
        draft.op(kind, ins, [out(x)], {"mode": draft.one_of(("REFLECT", "SYMMETRIC"))} if kind == "mirror_pad" else {})

    return make


def tile(draft: Draft) -> None:
    x = source(draft, 1, 4)
    counts = [draft.whole(0 if draft.chance(0.05) else 1, 3) for _ in x.shape]
    draft.op("tile", [x, numbers(draft, counts, ("int32", "int64"))], [out(x)])


def broadcast_to(draft: Draft) -> None:
    full = draft.shape(1, 6)
    dtype = draft.one_of(TYPES)
    dims = tuple(1 if draft.chance(0.3) else d for d in full)[draft.whole(0, len(full)) if draft.chance(0.3) else 0 :]
    q = draft.quant(dtype)
    draft.op("broadcast_to", [draft.put(dtype, dims, q), numbers(draft, full, ("int32", "int64"))], [(dtype, q)], {}, 3)


def slice_(draft: Draft) -> None:
    x = source(draft, 1, 6)
    begin = [draft.whole(0, d) for d in x.shape]
    size = [-1 if draft.chance(0.2) else draft.whole(0 if draft.chance(0.1) else min(1, d - b), d - b) for b, d in zip(begin, x.shape, strict=True)]
    kinds = draft.one_of((("int32",), ("int64",)))
    draft.op("slice", [x, numbers(draft, begin, kinds), numbers(draft, size, kinds)], [out(x)])


def strided_slice(draft: Draft) -> None:
    dtype = draft.one_of(TYPES)
    x = draft.put(dtype, draft.shape(1, 5, empty=0), draft.quant(dtype))
    count = draft.whole(1, len(x.shape)) if draft.chance(0.3) else len(x.shape)
    strides = [draft.one_of((1, 1, 1, 2, 3, -1, -2)) for _ in range(count)]
    begin = [draft.whole(-d - 1, d + 1) for d in x.shape[:count]]
    end = [draft.whole(-d - 1, d + 2) for d in x.shape[:count]]
    masks = {name: draft.whole(0, (1 << count) - 1) if draft.chance(0.5) else 0 for name in ("begin_mask", "end_mask")}
    if draft.chance(0.4):
        masks["shrink_axis_mask"] = draft.whole(0, (1 << count) - 1)
        for i in range(count):
            if masks["shrink_axis_mask"] >> i & 1 and x.shape[i]:
                begin[i], strides[i] = draft.whole(-x.shape[i], x.shape[i] - 1), 1
                end[i] = begin[i] + 1
                masks["begin_mask"] &= ~(1 << i)
    if draft.chance(0.2):
        masks["ellipsis_mask"] = 1 << draft.whole(0, count - 1)
    if draft.chance(0.2):
        masks["new_axis_mask"] = draft.whole(0, (1 << count) - 1)
    masks["offset"] = draft.chance(0.1)
    ins = [x, *(numbers(draft, v, fixed=0.9) for v in (begin, end, strides))]
    draft.op("strided_slice", ins, [out(x)], masks)


def reverse_v2(draft: Draft) -> None:
    x = source(draft, 1, 5)
    axes = [i - len(x.shape) * draft.chance(0.3) for i in range(len(x.shape)) if draft.chance(0.4)] or [0]
    draft.op("reverse_v2", [x, numbers(draft, axes)], [out(x)])


def dynamic_update_slice(draft: Draft) -> None:
    x = source(draft, 1, 4)
    part = tuple(draft.whole(min(1, d), d) for d in x.shape)
    begin = [draft.whole(-1, d) for d in x.shape]
    ins = [x, draft.put(str(x.dtype), part, x.quantization), numbers(draft, begin, ("int32", "int64"))]
    draft.op("dynamic_update_slice", ins, [out(x)])


def gather(draft: Draft) -> None:
    x = source(draft, 1, 5)
    axis = draft.whole(0, len(x.shape) - 1)
    batch = draft.whole(0, axis) if draft.chance(0.3) else 0
    dims = (*x.shape[:batch], *draft.shape(0, 2, 4))
    picks = draft.rng.integers(0, max(x.shape[axis], 1), dims)
    attrs = {"axis": axis - len(x.shape) * draft.chance(0.3), "batch_dims": batch}
    draft.op("gather", [x, numbers(draft, picks, ("int32", "int64", "int16"), 0.3)], [out(x)], attrs)


def gather_nd(draft: Draft) -> None:
    x = source(draft, 1, 5)
    depth = draft.whole(1, len(x.shape))
    dims = draft.shape(0, 2, 4)
    picks = draft.rng.integers(0, np.maximum(x.shape[:depth], 1), (*dims, depth))
    draft.op("gather_nd", [x, numbers(draft, picks, ("int32", "int64", "int16"), 0.3)], [out(x)])


def scatter_nd(draft: Draft) -> None:
    full = draft.shape(1, 4, empty=0)
    depth = draft.whole(1, len(full))
    dims = draft.shape(1, 2, 4, empty=0)
    dtype = draft.one_of(("float32", "int8", "uint8", "int32", "int64", "bool"))
    picks = draft.rng.integers(0, full[:depth], (*dims, depth))
    updates = draft.put(dtype, (*dims, *full[depth:]))
    draft.op("scatter_nd", [numbers(draft, picks, fixed=0.3), updates, numbers(draft, full)], [(dtype, None)])


def one_hot(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "uint8", "int16", "int32", "int64", "bool"))
    dims = draft.shape(0, 3)
    picks = draft.rng.integers(-1, 6, dims)
    ins = [numbers(draft, picks, ("int32", "int64"), 0.2), numbers(draft, draft.whole(1, 5))]
    ins += [draft.put(dtype, (), fixed=FIXED), draft.put(dtype, (), fixed=FIXED)]
    draft.op("one_hot", ins, [(dtype, None)], {"axis": draft.whole(-1, len(dims))})


def depth_space(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        n, h, w, c = draft.shape(4, 4, 4)
        b = draft.whole(1, 3)
        dims = (n, h * b, w * b, c) if kind == "space_to_depth" else (n, h, w, c * b * b)
        dtype = draft.one_of(("float32", "int8", "uint8", "int32", "int64"))
        x = draft.put(dtype, dims, draft.quant(dtype))
        draft.op(kind, [x], [out(x)], {"block_size": b})

    return make


def batch_space(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        rank = draft.one_of((3, 4, 4))
        spatial = rank - 2
        dims = list(draft.shape(rank, rank, 4, empty=0))
        block = [draft.whole(1, 3) for _ in range(spatial)]
        edges = []
        for i in range(spatial):
            if kind == "space_to_batch_nd":
                front = draft.whole(0, 3)
                edges.append([front, -(dims[1 + i] + front) % block[i]])
            else:
                front = draft.whole(0, max(0, dims[1 + i] * block[i] - 1) // 2)
                edges.append([front, draft.whole(0, max(0, dims[1 + i] * block[i] - 1 - front) // 2)])
        if kind == "batch_to_space_nd":
            dims[0] *= int(np.prod(block))
        dtype = draft.one_of(("float32", "int8", "uint8", "int16", "int32", "int64"))
        x = draft.put(dtype, tuple(dims), draft.quant(dtype))
        draft.op(kind, [x, numbers(draft, block), numbers(draft, edges)], [out(x)])

    return make


def reverse_sequence(draft: Draft) -> None:
    x = source(draft, 2, 4)
    seq, batch = map(int, draft.rng.permutation(len(x.shape))[:2])
    lengths = draft.rng.integers(0, x.shape[seq] + 1, x.shape[batch])
    attrs = {"seq_dim": seq, "batch_dim": batch}
    draft.op("reverse_sequence", [x, numbers(draft, lengths, ("int32", "int64"), 0.3)], [out(x)], attrs)


def matrix(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        x = source(draft, 1 if kind == "matrix_diag" else 2, 4, ("float32", *INTS))
        diagonal = (*x.shape[:-2], min(x.shape[-2:]))
        ins = [x] if kind == "matrix_diag" else [x, draft.put(str(x.dtype), diagonal, x.quantization)]
        draft.op(kind, ins, [out(x)])

    return make


def fill(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "int16", "int32", "int64", "bool"))
    q = draft.quant(dtype)
    ins = [numbers(draft, draft.shape(1, 4), ("int32", "int64")), draft.put(dtype, (), q, fixed=0.3)]
    draft.op("fill", ins, [(dtype, q)])


def range_(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int32", "int64"))
    start, step = draft.whole(-5, 5), draft.one_of((1, 2, 3, -1, -2))
    limit = start + step * draft.whole(0, 6) + draft.whole(0, 1) * (step > 0)
    ins = [numbers(draft, v, (dtype,)) for v in (start, limit, step)]
    draft.op("range", ins, [(dtype, None)])


def embedding_lookup(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "uint8", "int32"))
    x = draft.put(dtype, draft.shape(2, 4, empty=0), draft.quant(dtype))
    picks = draft.rng.integers(0, x.shape[0], draft.whole(1, 4))
    draft.op("embedding_lookup", [numbers(draft, picks, fixed=0.2), x], [out(x)])


MAKERS: dict[str, Maker] = {
    "reshape": reshape, "squeeze": squeeze, "expand_dims": expand_dims, "transpose": transpose,
    "concatenation": concatenation, "pack": pack, "unpack": unpack, "split": split, "split_v": split_v,
    **{kind: pad(kind) for kind in ("pad", "padv2", "mirror_pad")},
    "tile": tile, "broadcast_to": broadcast_to, "slice": slice_, "strided_slice": strided_slice,
    "reverse_v2": reverse_v2, "dynamic_update_slice": dynamic_update_slice, "gather": gather, "gather_nd": gather_nd,
    "scatter_nd": scatter_nd, "one_hot": one_hot,
    **{kind: depth_space(kind) for kind in ("space_to_depth", "depth_to_space")},
    **{kind: batch_space(kind) for kind in ("space_to_batch_nd", "batch_to_space_nd")},
    "reverse_sequence": reverse_sequence, **{kind: matrix(kind) for kind in ("matrix_diag", "matrix_set_diag")},
    "fill": fill, "range": range_, "embedding_lookup": embedding_lookup,
}  # fmt: skip
