"""Data movement, slices, gathers, space/depth/batch and resizing against LiteRT, on random shapes, axes and masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edged.errors import EdgedError
from edged.formats.tflite import write
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.graph.shapes import resize_graph
from support.agreement import check, random_inputs
from support.build import constant, one_op, quant, tensor
from support.oracle import litert

Rng = np.random.Generator
Make = Callable[[Rng], Model]
INT8 = quant(0.1, 3)


def shape(rng: Rng, rank: int | None = None, most: int = 5) -> tuple[int, ...]:
    return tuple(
        int(d) for d in rng.integers(1, most + 1, rank if rank is not None else int(rng.integers(1, 5)))
    )


def kind(rng: Rng) -> tuple[str, object]:
    return [("float32", None), ("int8", INT8), ("int32", None), ("uint8", quant(0.2, 100))][
        int(rng.integers(0, 4))
    ]


def i32(*values: int) -> object:
    return constant("int32", np.array(values, np.int32))


def typed(rng: Rng, *shapes: tuple[int, ...]) -> list[object]:
    """Tensors of one random dtype and quantisation."""
    dtype, quantization = kind(rng)
    return [tensor(dtype, s, quantization) for s in shapes]


def transpose(rng: Rng) -> Model:
    old = shape(rng)
    perm = [int(p) for p in rng.permutation(len(old))]
    a, b = typed(rng, old, tuple(old[p] for p in perm))
    return one_op("transpose", [a, i32(*perm)], [b])


def concatenation(rng: Rng) -> Model:
    base = list(shape(rng))
    axis = int(rng.integers(0, len(base)))
    sizes = [int(s) for s in rng.integers(1, 4, int(rng.integers(1, 4)))]
    parts = [tuple(s if i == axis else d for i, d in enumerate(base)) for s in sizes]
    whole = tuple(sum(sizes) if i == axis else d for i, d in enumerate(base))
    *ins, out = typed(rng, *parts, whole)
    given = axis if rng.random() < 0.5 else axis - len(base)
    return one_op("concatenation", ins, [out], {"axis": given, "fused_activation_function": "NONE"})


def rescaled_concatenation(rng: Rng) -> Model:
    """uint8 inputs of their own quantisations."""
    ins = [
        tensor("uint8", (2, 3), quant(rng.uniform(0.05, 0.3), int(rng.integers(0, 256)))) for _ in range(3)
    ]
    out = tensor("uint8", (2, 9), quant(rng.uniform(0.05, 0.3), int(rng.integers(0, 256))))
    return one_op("concatenation", ins, [out], {"axis": 1, "fused_activation_function": "NONE"}, version=2)


def pack(rng: Rng) -> Model:
    each, count = shape(rng, int(rng.integers(0, 4))), int(rng.integers(1, 4))
    axis = int(rng.integers(0, len(each) + 1))
    *ins, out = typed(rng, *[each] * count, (*each[:axis], count, *each[axis:]))
    return one_op("pack", ins, [out], {"axis": axis, "values_count": count})


def unpack(rng: Rng) -> Model:
    old = shape(rng)
    axis = int(rng.integers(0, len(old)))
    source, *outs = typed(rng, old, *[(*old[:axis], *old[axis + 1 :])] * old[axis])
    return one_op("unpack", [source], outs, {"axis": axis, "num": old[axis]})


def split(rng: Rng) -> Model:
    each, count = shape(rng), int(rng.integers(1, 4))
    axis = int(rng.integers(0, len(each)))
    whole = tuple(d * count if i == axis else d for i, d in enumerate(each))
    source, *outs = typed(rng, whole, *[each] * count)
    return one_op("split", [i32(axis), source], outs, {"num_splits": count})


def split_v(rng: Rng) -> Model:
    base, sizes = shape(rng), [int(s) for s in rng.integers(1, 4, 3)]
    axis = int(rng.integers(0, len(base)))
    parts = [tuple(s if i == axis else d for i, d in enumerate(base)) for s in sizes]
    source, *outs = typed(rng, tuple(sum(sizes) if i == axis else d for i, d in enumerate(base)), *parts)
    given = [-1 if i == 1 else s for i, s in enumerate(sizes)]
    return one_op(
        "split_v", [source, constant("int32", np.array(given, np.int32)), i32(axis)], outs, {"num_splits": 3}
    )


def pad(rng: Rng) -> Model:
    old = shape(rng)
    amounts = rng.integers(0, 3, (len(old), 2)).astype(np.int32)
    a, b = typed(rng, old, tuple(int(d + p.sum()) for d, p in zip(old, amounts, strict=True)))
    return one_op("pad", [a, constant("int32", amounts)], [b])


def mirror_pad(rng: Rng) -> Model:
    old = tuple(int(d) for d in rng.integers(3, 6, 3))
    amounts = rng.integers(0, 3, (3, 2)).astype(np.int32)
    new = tuple(int(d + p.sum()) for d, p in zip(old, amounts, strict=True))
    mode = "REFLECT" if rng.random() < 0.5 else "SYMMETRIC"
    return one_op(
        "mirror_pad",
        [tensor("float32", old), constant("int32", amounts)],
        [tensor("float32", new)],
        {"mode": mode},
    )


def tile(rng: Rng) -> Model:
    old = shape(rng)
    times = [int(t) for t in rng.integers(1, 4, len(old))]
    a, b = tensor("float32", old), tensor("float32", tuple(d * t for d, t in zip(old, times, strict=True)))
    return one_op("tile", [a, i32(*times)], [b])


def strided_slice(rng: Rng) -> Model:
    old = shape(rng, int(rng.integers(1, 5)), 6)
    rank = len(old)
    begin, end, strides = [], [], []
    for d in old:
        step = int(rng.choice([1, 1, 2, -1, -2]))
        ends = sorted(int(v) for v in rng.integers(0, d + 1, 2))
        first, last = (
            (ends[0], max(ends[1], ends[0] + 1)) if step > 0 else (min(ends[1], d - 1), ends[0] - d - 1)
        )
        begin.append(min(first, d - 1))
        end.append(last)
        strides.append(step)
    masks = {f"{n}_mask": int(rng.integers(0, 1 << rank)) for n in ("begin", "end")}
    shrink = int(rng.integers(0, 1 << rank)) if rng.random() < 0.4 else 0
    strides = [1 if shrink >> i & 1 else s for i, s in enumerate(strides)]
    masks["begin_mask"] &= ~shrink
    attrs = {**masks, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": shrink, "offset": False}
    from edged.graph.model import Node
    from edged.graph.ops.slice import strided_index

    index = strided_index(Node("strided_slice", (), (), attrs), old, begin, end, strides)
    new = np.zeros(old)[index].shape
    a, b = typed(rng, old, new)
    return one_op("strided_slice", [a, i32(*begin), i32(*end), i32(*strides)], [b], attrs, version=2)


def slice_(rng: Rng) -> Model:
    old = shape(rng, most=6)
    begin = [int(rng.integers(0, d)) for d in old]
    size = [int(rng.integers(1, d - b + 1)) for d, b in zip(old, begin, strict=True)]
    given = [-1 if rng.random() < 0.3 else s for s in size]
    real = [d - b if g == -1 else s for d, b, g, s in zip(old, begin, given, size, strict=True)]
    a, b = typed(rng, old, tuple(real))
    return one_op("slice", [a, i32(*begin), i32(*given)], [b], version=2)


def gather(rng: Rng) -> Model:
    old = shape(rng)
    axis = int(rng.integers(0, len(old)))
    indices = rng.integers(0, old[axis], shape(rng, int(rng.integers(0, 3)))).astype(np.int32)
    a, b = typed(rng, old, (*old[:axis], *indices.shape, *old[axis + 1 :]))
    return one_op("gather", [a, constant("int32", indices)], [b], {"axis": axis, "batch_dims": 0}, version=2)


def batched_gather(rng: Rng) -> Model:
    old = (2, *shape(rng, 2))
    indices = rng.integers(0, old[1], (2, 3)).astype(np.int32)
    a, b = typed(rng, old, (2, 3, old[2]))
    return one_op("gather", [a, constant("int32", indices)], [b], {"axis": 1, "batch_dims": 1}, version=5)


def gather_nd(rng: Rng) -> Model:
    old = shape(rng, 3)
    depth = int(rng.integers(1, 4))
    indices = np.stack([rng.integers(0, d, 4) for d in old[:depth]], axis=-1).astype(np.int32)
    a, b = typed(rng, old, (4, *old[depth:]))
    return one_op("gather_nd", [a, constant("int32", indices)], [b])


def scatter_nd(rng: Rng) -> Model:
    new = shape(rng, 3)
    indices = np.stack([rng.integers(0, d, 5) for d in new[:2]], axis=-1).astype(np.int32)
    updates = tensor("int32", (5, new[2]))
    return one_op("scatter_nd", [constant("int32", indices), updates, i32(*new)], [tensor("int32", new)])


def space_to_depth(rng: Rng) -> Model:
    b, (n, h, w, c) = int(rng.integers(1, 4)), shape(rng, 4, 3)
    a, z = typed(rng, (n, h * b, w * b, c), (n, h, w, c * b * b))
    return one_op("space_to_depth", [a], [z], {"block_size": b})


def depth_to_space(rng: Rng) -> Model:
    b, (n, h, w, c) = int(rng.integers(1, 4)), shape(rng, 4, 3)
    a, z = typed(rng, (n, h, w, c * b * b), (n, h * b, w * b, c))
    return one_op("depth_to_space", [a], [z], {"block_size": b})


def space_to_batch(rng: Rng) -> Model:
    n, c = int(rng.integers(1, 3)), int(rng.integers(1, 4))
    blocks = [int(b) for b in rng.integers(1, 3, 2)]
    pads = rng.integers(0, 3, (2, 2)).astype(np.int32)
    inner = [int(v) for v in rng.integers(2, 4, 2)]
    old = [max(i * b - int(p.sum()), 1) for i, b, p in zip(inner, blocks, pads, strict=True)]
    pads[:, 1] += [(-(o + int(p.sum()))) % b for o, p, b in zip(old, pads, blocks, strict=True)]
    new = [(o + int(p.sum())) // b for o, p, b in zip(old, pads, blocks, strict=True)]
    a, z = typed(rng, (n, *old, c), (n * blocks[0] * blocks[1], *new, c))
    if a.dtype == "int32":
        a, z = tensor("float32", a.shape), tensor("float32", z.shape)
    return one_op("space_to_batch_nd", [a, i32(*blocks), constant("int32", pads)], [z])


def batch_to_space(rng: Rng) -> Model:
    blocks, inner, c = [int(b) for b in rng.integers(1, 3, 2)], [int(v) for v in rng.integers(2, 4, 2)], 2
    crops = rng.integers(0, 2, (2, 2)).astype(np.int32)
    new = [i * b - int(p.sum()) for i, b, p in zip(inner, blocks, crops, strict=True)]
    crops = np.where(np.array(new)[:, None] < 1, 0, crops).astype(np.int32)
    new = [i * b - int(p.sum()) for i, b, p in zip(inner, blocks, crops, strict=True)]
    a, z = tensor("float32", (blocks[0] * blocks[1] * 2, *inner, c)), tensor("float32", (2, *new, c))
    return one_op("batch_to_space_nd", [a, i32(*blocks), constant("int32", crops)], [z])


def reverse_sequence(rng: Rng) -> Model:
    old = shape(rng, 3)
    lengths = rng.integers(1, old[1] + 1, old[0]).astype(np.int32)
    a, b = tensor("float32", old), tensor("float32", old)
    return one_op("reverse_sequence", [a, constant("int32", lengths)], [b], {"seq_dim": 1, "batch_dim": 0})


def reverse_v2(rng: Rng) -> Model:
    old = shape(rng, 3)
    a, b = typed(rng, old, old)
    return one_op("reverse_v2", [a, i32(int(rng.integers(0, 3)))], [b])


def one_hot(rng: Rng) -> Model:
    old, depth = shape(rng, int(rng.integers(1, 4))), int(rng.integers(1, 6))
    axis = int(rng.integers(-1, len(old) + 1))
    at = len(old) if axis == -1 else axis
    indices = constant("int32", rng.integers(-1, depth + 1, old).astype(np.int32))
    on, off = tensor("float32", ()), tensor("float32", ())
    out = tensor("float32", (*old[:at], depth, *old[at:]))
    return one_op("one_hot", [indices, _scalar(depth), on, off], [out], {"axis": axis})


def _scalar(value: int) -> object:
    return constant("int32", np.array(value, np.int32))


def topk(rng: Rng) -> Model:
    old = shape(rng, int(rng.integers(1, 3)), 9)
    k = int(rng.integers(1, old[-1] + 1))
    new = (*old[:-1], k)
    dtype = str(rng.choice(["float32", "int32", "uint8"]))
    return one_op("topk_v2", [tensor(dtype, old), _scalar(k)], [tensor(dtype, new), tensor("int32", new)])


def resize(op: str, dtypes: tuple[str, ...]) -> Make:
    def make(rng: Rng) -> Model:
        n, h, w, c = 2, *(int(v) for v in rng.integers(1, 9, 2)), 3
        new = [int(v) for v in rng.integers(1, 14, 2)]
        corners = bool(rng.integers(0, 2))
        attrs = {"align_corners": corners, "half_pixel_centers": not corners and bool(rng.integers(0, 2))}
        dtype = str(rng.choice(dtypes))
        q = {"int8": INT8, "uint8": quant(0.1, 99), "int16": quant(0.01, 0)}.get(dtype)
        return one_op(
            op,
            [tensor(dtype, (n, h, w, c), q), i32(*new)],
            [tensor(dtype, (n, *new, c), q)],
            attrs,
            version=3,
        )

    return make


def broadcast_to(rng: Rng) -> Model:
    new = shape(rng, 3)
    old = tuple(d if rng.random() < 0.5 else 1 for d in new[int(rng.integers(0, 3)) :])
    return one_op("broadcast_to", [tensor("float32", old), i32(*new)], [tensor("float32", new)], version=2)


def sparse_to_dense(rng: Rng) -> Model:
    new = shape(rng, 2)
    flat = np.sort(rng.choice(new[0] * new[1], min(3, new[0] * new[1]), replace=False))
    indices = np.stack(np.unravel_index(flat, new), axis=-1).astype(np.int32)
    values = tensor("int32", (len(flat),))
    ins = [constant("int32", indices), i32(*new), values, _scalar(7)]
    return one_op("sparse_to_dense", ins, [tensor("int32", new)], {"validate_indices": False})


def dynamic_update_slice(rng: Rng) -> Model:
    old = shape(rng, 3)
    update = tuple(int(rng.integers(1, d + 1)) for d in old)
    starts = [int(rng.integers(-2, d + 2)) for d in old]
    a, b, z = tensor("float32", old), tensor("float32", update), tensor("float32", old)
    return one_op("dynamic_update_slice", [a, b, i32(*starts)], [z])


def unsorted(name: str) -> Make:
    def make(rng: Rng) -> Model:
        old = shape(rng, 2, 6)
        ids = rng.integers(0, 4, old[0]).astype(np.int32)
        a, z = tensor("float32", old), tensor("float32", (4, old[1]))
        return one_op(f"unsorted_segment_{name}", [a, constant("int32", ids), _scalar(4)], [z])

    return make


def segment_sum(rng: Rng) -> Model:
    old = shape(rng, 2, 6)
    ids = np.cumsum(rng.integers(0, 2, old[0])).astype(np.int32)
    ids -= ids[0]
    out = (int(ids.max()) + 1, old[1])
    return one_op("segment_sum", [tensor("float32", old), constant("int32", ids)], [tensor("float32", out)])


CASES: dict[str, Make] = {
    "transpose": transpose, "concatenation": concatenation, "rescaled concatenation": rescaled_concatenation,
    "pack": pack, "unpack": unpack, "split": split, "split_v": split_v, "pad": pad, "mirror_pad": mirror_pad,
    "tile": tile, "strided_slice": strided_slice, "slice": slice_, "gather": gather, "batched gather": batched_gather,
    "gather_nd": gather_nd, "scatter_nd": scatter_nd, "space_to_depth": space_to_depth, "depth_to_space": depth_to_space,
    "space_to_batch": space_to_batch, "batch_to_space": batch_to_space, "reverse_sequence": reverse_sequence,
    "reverse_v2": reverse_v2, "one_hot": one_hot, "topk": topk, "broadcast_to": broadcast_to,
    "sparse_to_dense": sparse_to_dense, "dynamic_update_slice": dynamic_update_slice, "segment_sum": segment_sum,
    "resize_bilinear": resize("resize_bilinear", ("float32", "int8", "int16")),
    "resize_nearest": resize("resize_nearest_neighbor", ("float32", "int8", "uint8", "int16")),
    **{f"unsorted_segment_{n}": unsorted(n) for n in ("sum", "prod", "max", "min")},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_equals_litert(name: str) -> None:
    for seed in range(25):
        rng = np.random.default_rng(seed)
        model = CASES[name](rng)
        check(model, [random_inputs(rng, model)])


def test_uint8_bilinear_is_within_one() -> None:
    """See resize_bilinear's docstring: fewer than one element in a hundred, by 1."""
    off = total = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        model = resize("resize_bilinear", ("uint8",))(rng)
        arrays = random_inputs(rng, model)
        (ours,) = Evaluation(model).run(arrays).values()
        (theirs,) = litert(write(model), arrays)
        difference = np.abs(ours.astype(int) - theirs.astype(int))
        assert difference.max() <= 1
        off, total = off + int(difference.sum()), total + difference.size
    assert off < total / 100


@pytest.mark.parametrize("name", CASES)
def test_inferred_shapes_are_the_results_shapes(name: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = CASES[name](rng)
        results = Evaluation(model).run(random_inputs(rng, model))
        given = {t.name: t.shape for t in model.main.inputs}
        again = resize_graph(model.main, given)
        for tensor_, array in zip(again.outputs, results.values(), strict=True):
            assert tensor_.shape == array.shape or not tensor_.rank_known


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            one_op(
                "reshape",
                [tensor("float32", (6,)), i32(4, 2)],
                [tensor("float32", (4, 2))],
                {"new_shape": (4, 2)},
            ),
            "6 elements do not reshape",
        ),
        (
            one_op("gather", [tensor("float32", (3,)), i32(5)], [tensor("float32", (1,))], {"axis": 0}),
            "index 5 is out of range",
        ),
        (
            one_op(
                "split", [i32(0), tensor("float32", (3,))], [tensor("float32", (1,))] * 2, {"num_splits": 2}
            ),
            "3 does not split into 2",
        ),
        (
            one_op("slice", [tensor("float32", (3,)), i32(2), i32(4)], [tensor("float32", (4,))]),
            "do not fit dimension 0 of 3",
        ),
        (
            one_op("transpose", [tensor("float32", (3, 2)), i32(0, 0)], [tensor("float32", (3, 3))]),
            "not a permutation",
        ),
    ],
)
def test_mistakes_are_named(model: Model, message: str) -> None:
    with pytest.raises(EdgedError, match=message):
        Evaluation(model).run(random_inputs(np.random.default_rng(0), model))
