"""Makers of cases that reduce or scan: sums, extremes, arg_max, cumsum, top-k, segments."""

from __future__ import annotations

import numpy as np

from fuzz.ops_draft import Draft, Maker

KINDS: dict[str, tuple[str, ...]] = {
    "mean": ("float32", "int8", "uint8", "int16", "int32", "int64"),
    "sum": ("float32", "int8", "uint8", "int16", "int32", "int64"),
    "reduce_prod": ("float32", "int32", "int64", "int8", "int16"),
    **dict.fromkeys(("reduce_max", "reduce_min"), ("float32", "int8", "uint8", "int16", "int32", "int64")),
    **dict.fromkeys(("reduce_any", "reduce_all"), ("bool",)),
}


def reduction(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(KINDS[kind])
        shape = draft.shape(0 if draft.chance(0.05) else 1, 6 if draft.chance(0.2) else 4, 6)
        rank = len(shape)
        axes = [i - rank * draft.chance(0.3) for i in range(rank) if draft.chance(0.5)]
        if axes and draft.chance(0.15):
            axes.append(axes[0])  # the same one twice is legal
        axis = np.array(axes, np.int32)
        if len(axes) == 1 and draft.chance(0.3):
            axis = axis.reshape(())
        q = draft.quant(dtype)
        out = draft.quant(dtype) if kind in ("mean", "sum") and draft.chance(0.7) else q
        values = draft.values(dtype, shape, special=0.1 if kind in ("reduce_max", "reduce_min") else 0.0)
        if dtype == "float32" and kind in ("mean", "sum"):
            values = np.abs(values)  # no cancelling, whatever the order of the additions
        if kind == "reduce_prod" and dtype in ("int32", "int64"):
            values = values % 5
        ins = [draft.put(dtype, shape, q, values), draft.put("int32", axis.shape, None, axis, fixed=0.85)]
        draft.op(kind, ins, [(dtype, out)], {"keep_dims": draft.chance(0.5)}, 1 if dtype == "bool" else 2)

    return make


def arg(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(("float32", "int8", "uint8", "int32", "bool"))
        shape = draft.shape(1, 5, 9)
        axis = np.array(draft.whole(-len(shape), len(shape) - 1), draft.one_of(("int32", "int64")))
        axis = axis.reshape(draft.one_of(((), (1,))))
        out = draft.one_of(("int32", "int64"))
        ins = [draft.put(dtype, shape, draft.quant(dtype)), draft.put(str(axis.dtype), axis.shape, None, axis, fixed=0.8)]
        draft.op(kind, ins, [(out, None)], {"output_type": out.upper()}, 2)

    return make


def cumsum(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int32", "int64"))
    shape = draft.shape(1, 5)
    axis = draft.constant("int32", draft.whole(-len(shape), len(shape) - 1))
    x = draft.put(dtype, shape, None, np.abs(draft.values(dtype, shape)))
    draft.op("cumsum", [x, axis], [(dtype, None)], {"exclusive": draft.chance(0.5), "reverse": draft.chance(0.5)})


def topk_v2(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "uint8", "int16", "int32", "int64"))
    shape = draft.shape(1, 4, 12, empty=0)
    count = np.array(draft.whole(1, shape[-1]), np.int32)
    q = draft.quant(dtype)
    ins = [draft.put(dtype, shape, q), draft.put("int32", (), None, count, fixed=0.7)]
    draft.op("topk_v2", ins, [(dtype, q), ("int32", None)], {}, 2)


def unique(draft: Draft) -> None:
    dtype, out = draft.one_of(("float32", "int8", "uint8", "int16", "int32", "int64")), draft.one_of(("int32", "int64"))
    shape = draft.shape(1, 1, 12)
    x = draft.put(dtype, shape, None, draft.rng.integers(0, 6, shape).astype(dtype))
    draft.op("unique", [x], [(dtype, None), (out, None)], {"idx_out_type": out.upper()})


def where(draft: Draft) -> None:
    dtype = draft.one_of(("bool", "float32", "int32", "int64", "int8", "uint8"))
    shape = draft.shape(1, 5)
    draft.op("where", [draft.put(dtype, shape, None, draft.rng.integers(0, 2, shape).astype(dtype))], [("int64", None)])


def segments(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(("float32", "int32"))
        shape = draft.shape(1, 3, 6, empty=0)
        x = draft.put(dtype, shape, None, np.abs(draft.values(dtype, shape)))
        count = draft.whole(1, 5)
        if kind == "segment_sum":
            ids = np.sort(draft.rng.integers(0, count, shape[0]))
            ins = [x, draft.put("int32", ids.shape, None, ids.astype(np.int32), fixed=0.4)]
        else:
            ids = draft.rng.integers(-1 if draft.chance(0.2) else 0, count, shape[: draft.whole(1, len(shape))])
            ins = [x, draft.put("int32", ids.shape, None, ids.astype(np.int32), fixed=0.4), draft.constant("int32", count)]
        draft.op(kind, ins, [(dtype, None)])

    return make


def bucketize(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "float64", "int32", "int64"))
    bounds = tuple(float(np.float32(b)) for b in np.sort(draft.rng.normal(size=draft.whole(1, 5)) * 10))
    draft.op("bucketize", [draft.put(dtype, draft.shape())], [("int32", None)], {"boundaries": bounds})


def broadcast_args(draft: Draft) -> None:
    full = np.array(draft.shape(1, 5))
    sides = [np.where(draft.rng.random(len(full)) < 0.4, 1, full)[draft.whole(0, 1) * draft.chance(0.3) :] for _ in range(2)]
    dtype = draft.one_of(("int32", "int64"))
    ins = [draft.put(dtype, s.shape, None, s.astype(dtype), fixed=0.3) for s in sides]
    draft.op("broadcast_args", ins, [(dtype, None)])


MAKERS: dict[str, Maker] = {
    **{kind: reduction(kind) for kind in KINDS},
    **{kind: arg(kind) for kind in ("arg_max", "arg_min")},
    **{kind: segments(kind) for kind in ("segment_sum", *(f"unsorted_segment_{k}" for k in ("sum", "prod", "max", "min")))},
    "cumsum": cumsum, "topk_v2": topk_v2, "unique": unique, "where": where, "bucketize": bucketize,
    "broadcast_args": broadcast_args,
}  # fmt: skip
