"""Data movement over every dtype, index dtype, negative axis and mask that LiteRT runs: against LiteRT, and through the cpu backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import ShapeError
from edged.graph.evaluate import Evaluation, evaluate_node
from edged.graph.model import Model, Node, Tensor
from edged.graph.ops.slice import strided_index
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned
from support.agreement import COUNTS, check, random_inputs
from support.build import constant, one_op, quant, random_array, tensor

Rng = np.random.Generator
Shape = tuple[int, ...]
Make = Callable[[Rng], Model | None]
QUANT = {"int8": quant(0.1, 3), "uint8": quant(0.2, 100), "int16": quant(0.01, 0)}
ALL = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")
PLAIN = ("float32", "int8", "uint8", "int32", "int64")
INDEX = ("int32", "int64")


def shape(rng: Rng, rank: int | None = None, most: int = 5) -> Shape:
    return tuple(rng.integers(1, most + 1, int(rng.integers(1, 5)) if rank is None else rank).tolist())


def pick(rng: Rng, kinds: Sequence[str] = ALL) -> str:
    return str(rng.choice(kinds))


def typed(dtype: str, size: Sequence[int]) -> Tensor:
    return tensor(dtype, size, QUANT.get(dtype))


def i32(*values: int) -> Tensor:
    return constant("int32", np.array(values, np.int32))


def scalar(dtype: str, value: object) -> Tensor:
    return constant(dtype, np.array(value))


def strided_slice(rng: Rng) -> Model | None:
    """Slices, new axes and one ellipsis in any order; begins and ends beyond either side."""
    old, dtype = shape(rng), pick(rng)
    kinds: list[str] = []
    for kind in rng.choice(["slice", "slice", "new", "dots"], int(rng.integers(1, len(old) + 2))):
        full = kinds.count("slice") == len(old)
        kinds.append(
            "slice" if kind == "dots" and "dots" in kinds and not full else "new" if full else str(kind)
        )
    count = len(kinds)
    begin, end = rng.integers(-7, 8, count).tolist(), rng.integers(-7, 8, count).tolist()
    steps = rng.choice([1, 1, 2, -1], count).tolist()
    masks = {f"{n}_mask": int(rng.integers(0, 1 << count)) for n in ("begin", "end")}
    for name, kind in (("ellipsis", "dots"), ("new_axis", "new")):
        masks[f"{name}_mask"] = sum(1 << i for i, k in enumerate(kinds) if k == kind)
    attrs = {**masks, "shrink_axis_mask": 0, "offset": False}
    try:
        new = np.zeros(old)[strided_index(Node("strided_slice", (), (), attrs), old, begin, end, steps)].shape
    except ShapeError:
        return None
    ins = [typed(dtype, old), i32(*begin), i32(*end), i32(*steps)]
    return None if 0 in new else one_op("strided_slice", ins, [typed(dtype, new)], attrs, version=2)


def offset_slice(rng: Rng) -> Model:
    """`offset`: ends count from the begins."""
    old, dtype = shape(rng, 3, 6), pick(rng)
    begin = [int(rng.integers(0, d)) for d in old]
    new = [int(rng.integers(1, d - b + 1)) for d, b in zip(old, begin, strict=True)]
    given = [b - d if rng.random() < 0.5 else b for d, b in zip(old, begin, strict=True)]
    attrs = dict.fromkeys((f"{n}_mask" for n in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")), 0)
    ins = [typed(dtype, old), i32(*given), i32(*new), i32(1, 1, 1)]
    return one_op("strided_slice", ins, [typed(dtype, new)], {**attrs, "offset": True}, version=8)


def expand_dims(rng: Rng) -> Model:
    old, dtype = shape(rng), pick(rng)
    axis = int(rng.integers(-len(old) - 1, len(old) + 1))
    new = np.expand_dims(np.zeros(old), axis).shape
    return one_op("expand_dims", [typed(dtype, old), i32(axis)], [typed(dtype, new)])


def squeeze(rng: Rng) -> Model:
    old, dtype = tuple(rng.choice([1, 1, 2, 3], 4).tolist()), pick(rng)
    ones = [i for i, d in enumerate(old) if d == 1]
    dims = tuple(rng.permutation(ones)[: int(rng.integers(0, len(ones) + 1))].astype(int).tolist())
    new = [d for i, d in enumerate(old) if not (i in dims if dims else d == 1)]
    return one_op("squeeze", [typed(dtype, old)], [typed(dtype, new)], {"squeeze_dims": dims})


def pad(rng: Rng) -> Model:
    """PADV2 for half of them; amounts of either integer dtype."""
    old, amounts_of = shape(rng), pick(rng, INDEX)
    amounts = rng.integers(0, 3, (len(old), 2))
    new = [int(d + a.sum()) for d, a in zip(old, amounts, strict=True)]
    if rng.random() < 0.5:
        dtype = pick(rng, ("float32", "int8", "uint8", "int32"))
        value = constant(dtype, random_array(rng, dtype, ()), QUANT.get(dtype))
        ins = [typed(dtype, old), constant(amounts_of, amounts), value]
        return one_op("padv2", ins, [typed(dtype, new)], version=2)
    dtype = pick(rng, ("float32", "int8", "uint8", "int16", "int32"))
    return one_op("pad", [typed(dtype, old), constant(amounts_of, amounts)], [typed(dtype, new)], version=2)


def mirror_pad(rng: Rng) -> Model:
    dtype, old = (
        pick(rng, ("float32", "int8", "int16", "int32", "int64")),
        tuple(rng.integers(3, 6, 3).tolist()),
    )
    amounts = rng.integers(0, 3, (3, 2)).astype(np.int32)
    new = [int(d + a.sum()) for d, a in zip(old, amounts, strict=True)]
    mode = {"mode": pick(rng, ("REFLECT", "SYMMETRIC"))}
    return one_op("mirror_pad", [typed(dtype, old), constant("int32", amounts)], [typed(dtype, new)], mode)


def tile(rng: Rng) -> Model:
    dtype, old = pick(rng), shape(rng)
    times = rng.integers(1, 4, len(old)).tolist()
    new = [d * t for d, t in zip(old, times, strict=True)]
    return one_op("tile", [typed(dtype, old), i32(*times)], [typed(dtype, new)], version=3)


def broadcast_to(rng: Rng) -> Model:
    dtype, new = pick(rng), shape(rng)
    old = [d if rng.random() < 0.5 else 1 for d in new[int(rng.integers(0, len(new))) :]]
    return one_op("broadcast_to", [typed(dtype, old), i32(*new)], [typed(dtype, new)], version=3)


def broadcast_args(rng: Rng) -> Model:
    both = shape(rng)
    left = [d if rng.random() < 0.5 else 1 for d in both]
    right = [d if a == 1 or rng.random() < 0.5 else 1 for d, a in zip(both, left, strict=True)]
    ins = [i32(*left), i32(*right[int(rng.integers(0, len(both))) :])]
    return one_op("broadcast_args", ins, [("int32", (len(both),))])


def range_(rng: Rng) -> Model:
    dtype = pick(rng, ("int32", "int64", "float32"))
    start, limit, step = [(5, 20, 3), (10, -7, -2), (0, 7, 1)][int(rng.integers(0, 3))]
    if dtype == "float32":
        return one_op(
            "range", [scalar(dtype, v) for v in (start + 0.5, limit + 0.25, step * 0.7)],
            [(dtype, (int(np.ceil((limit - start - 0.25) / (step * 0.7))),))],
        )  # fmt: skip
    return one_op(
        "range", [scalar(dtype, v) for v in (start, limit, step)], [(dtype, (-(-(limit - start) // step),))]
    )


def fill(rng: Rng) -> Model:
    dtype, new = pick(rng, ("float32", "int32", "int64", "int8", "int16", "bool")), shape(rng)
    return one_op("fill", [i32(*new), typed(dtype, ())], [typed(dtype, new)], version=3)


def shape_of(rng: Rng) -> Model:
    old, kind = shape(rng), pick(rng, ("INT32", "INT64"))
    return one_op("shape", [("float32", old)], [(kind.lower(), (len(old),))], {"out_type": kind})


def topk(rng: Rng) -> Model:
    dtype = pick(rng, ("float32", "int8", "uint8", "int16", "int32", "int64"))
    old = shape(rng, int(rng.integers(1, 4)), 9)
    new = (*old[:-1], int(rng.integers(1, old[-1] + 1)))
    return one_op(
        "topk_v2",
        [typed(dtype, old), scalar("int32", new[-1])],
        [typed(dtype, new), ("int32", new)],
        version=3,
    )


def one_hot(rng: Rng) -> Model:
    dtype, old, depth = pick(rng, ("float32", "int32", "int64", "int8", "uint8", "bool")), shape(rng, 2), 3
    axis = int(rng.integers(-1, 3))
    at = 2 if axis == -1 else axis
    ins = [constant(pick(rng, INDEX), rng.integers(-1, 5, old)), scalar("int32", depth)]
    ins += [constant(dtype, random_array(rng, dtype, ())) for _ in range(2)]
    return one_op("one_hot", ins, [(dtype, (*old[:at], depth, *old[at:]))], {"axis": axis})


def gather(rng: Rng) -> Model:
    dtype, old = pick(rng), shape(rng)
    axis = int(rng.integers(-len(old), len(old)))
    at = axis % len(old)
    index = rng.integers(0, old[at], shape(rng, int(rng.integers(0, 3))))
    new = (*old[:at], *index.shape, *old[at + 1 :])
    ins = [typed(dtype, old), constant(pick(rng, INDEX), index)]
    return one_op("gather", ins, [typed(dtype, new)], {"axis": axis, "batch_dims": 0}, version=4)


def batched_gather(rng: Rng) -> Model:
    """batch_dims of either sign: a negative one counts from the rank of the indices."""
    batch, rest = shape(rng, int(rng.integers(1, 3)), 3), shape(rng, 2)
    axis, inner = len(batch) + int(rng.integers(0, 2)), shape(rng, int(rng.integers(0, 2)), 3)
    old = (*batch, *rest)
    index = rng.integers(0, old[axis], (*batch, *inner)).astype(np.int32)
    count = len(batch) - (index.ndim if inner and rng.random() < 0.5 else 0)
    ins, new = [tensor("float32", old), constant("int32", index)], (*old[:axis], *inner, *old[axis + 1 :])
    return one_op("gather", ins, [("float32", new)], {"axis": axis, "batch_dims": count}, version=5)


def gather_nd(rng: Rng) -> Model:
    dtype, old, depth = pick(rng), shape(rng, 3), int(rng.integers(1, 4))
    index = np.stack([rng.integers(0, d, (2, 3)) for d in old[:depth]], -1)
    ins = [typed(dtype, old), constant(pick(rng, INDEX), index)]
    return one_op("gather_nd", ins, [typed(dtype, (2, 3, *old[depth:]))], version=3)


def scatter_nd(rng: Rng) -> Model:
    dtype, new, depth = pick(rng, PLAIN), shape(rng, 3), int(rng.integers(1, 4))
    index = np.stack([rng.integers(0, d, 4) for d in new[:depth]], -1).astype(np.int32)
    ins = [constant("int32", index), typed(dtype, (4, *new[depth:])), i32(*new)]
    return one_op("scatter_nd", ins, [typed(dtype, new)])


def sparse_to_dense(rng: Rng) -> Model:
    """One place, a list of places, or a list of coordinates; a value for each, or one for all."""
    dtype, of, rank = pick(rng, PLAIN), pick(rng, INDEX), int(rng.integers(0, 3))
    new = shape(rng, max(rank, 1))
    flat = np.sort(rng.choice(int(np.prod(new)), min(3, int(np.prod(new))), replace=False))
    places = [flat[0], flat, np.stack(np.unravel_index(flat, new), -1)][rank]
    values = typed(dtype, (len(flat),) if rank and rng.random() < 0.5 else ())
    ins = [constant(of, places), constant(of, np.array(new)), values, scalar(dtype, 1)]
    return one_op("sparse_to_dense", ins, [typed(dtype, new)], {"validate_indices": False}, version=3)


def unique(rng: Rng) -> Model:
    dtype, kind, count = pick(rng, (*PLAIN, "int16")), pick(rng, ("INT32", "INT64")), int(rng.integers(1, 9))
    source = constant(dtype, rng.integers(0, 4, count), QUANT.get(dtype))
    return one_op(
        "unique", [source], [typed(dtype, (count,)), (kind.lower(), (count,))], {"idx_out_type": kind}
    )


def embedding_lookup(rng: Rng) -> Model:
    old = shape(rng, int(rng.integers(2, 4)), 6)
    rows, new = constant("int32", rng.integers(0, old[0], 4).astype(np.int32)), [("float32", (4, *old[1:]))]
    if rng.random() < 0.5:
        return one_op("embedding_lookup", [rows, constant("float32", random_array(rng, "float32", old))], new)
    return one_op(
        "embedding_lookup",
        [rows, constant("int8", random_array(rng, "int8", old), quant(0.05))],
        new,
        version=2,
    )


def reverse_sequence(rng: Rng) -> Model:
    dtype, old = pick(rng, ("float32", "uint8", "int16", "int32", "int64")), shape(rng, 4)
    seq, batch = rng.permutation(4)[:2].tolist()
    ins = [typed(dtype, old), constant(pick(rng, INDEX), rng.integers(0, old[seq] + 1, old[batch]))]
    return one_op("reverse_sequence", ins, [typed(dtype, old)], {"seq_dim": seq, "batch_dim": batch})


def reverse_v2(rng: Rng) -> Model:
    dtype, old, first = pick(rng), shape(rng, 4), int(rng.integers(0, 4))
    axes = range(first, int(rng.integers(first, 4)) + 1)
    return one_op("reverse_v2", [typed(dtype, old), i32(*axes)], [typed(dtype, old)], version=3)


def matrix_diag(rng: Rng) -> Model:
    dtype, old = pick(rng, (*PLAIN, "int16")), shape(rng, int(rng.integers(1, 4)), 4)
    return one_op("matrix_diag", [typed(dtype, old)], [typed(dtype, (*old, old[-1]))])


def matrix_set_diag(rng: Rng) -> Model:
    dtype, old = pick(rng, (*PLAIN, "int16")), shape(rng, int(rng.integers(2, 4)), 4)
    ins = [typed(dtype, old), typed(dtype, (*old[:-2], min(old[-2:])))]
    return one_op("matrix_set_diag", ins, [typed(dtype, old)])


def space_to_batch(rng: Rng) -> Model:
    """Three dimensions: one block size."""
    dtype, (n, h, c), block = (
        pick(rng, ("float32", "int8", "uint8")),
        shape(rng, 3, 3),
        int(rng.integers(1, 4)),
    )
    pads = rng.integers(0, 3, (1, 2)).astype(np.int32)
    pads[0, 1] += -(h + int(pads.sum())) % block
    new = (n * block, (h + int(pads.sum())) // block, c)
    ins = [typed(dtype, (n, h, c)), i32(block), constant("int32", pads)]
    return one_op("space_to_batch_nd", ins, [typed(dtype, new)])


def batch_to_space(rng: Rng) -> Model:
    dtype, (n, h, c), block = pick(rng, PLAIN), shape(rng, 3, 3), int(rng.integers(1, 4))
    front = int(rng.integers(0, h * block))
    back = int(rng.integers(0, h * block - front))
    ins = [
        typed(dtype, (n * block, h, c)),
        i32(block),
        constant("int32", np.array([[front, back]], np.int32)),
    ]
    return one_op("batch_to_space_nd", ins, [typed(dtype, (n, h * block - front - back, c))])


def unsorted(name: str) -> Make:
    def make(rng: Rng) -> Model:
        """Ids over one or two dimensions, negative ones left out."""
        dtype, old, depth = pick(rng, ("float32", "int32")), shape(rng, 3, 4), int(rng.integers(1, 3))
        ids = constant("int32", rng.integers(-1, 5, old[:depth]).astype(np.int32))
        ins = [typed(dtype, old), ids, scalar("int32", 5)]
        return one_op(f"unsorted_segment_{name}", ins, [(dtype, (5, *old[depth:]))])

    return make


def dynamic_update_slice(rng: Rng) -> Model:
    dtype, old = pick(rng, ("float32", "int8", "int32", "int64", "bool")), shape(rng, 3)
    part = [int(rng.integers(1, d + 1)) for d in old]
    starts = constant(pick(rng, INDEX), np.array([int(rng.integers(-2, d + 2)) for d in old]))
    return one_op(
        "dynamic_update_slice",
        [typed(dtype, old), typed(dtype, part), starts],
        [typed(dtype, old)],
        version=2,
    )


def transpose(rng: Rng) -> Model:
    dtype, old = pick(rng), shape(rng, int(rng.integers(1, 7)), 3)
    perm = rng.permutation(len(old)).tolist()
    given = [p - len(old) if rng.random() < 0.3 else p for p in perm]
    return one_op(
        "transpose", [typed(dtype, old), i32(*given)], [typed(dtype, [old[p] for p in perm])], version=4
    )


CASES: dict[str, Make] = {
    made.__name__.rstrip("_"): made
    for made in (
        strided_slice, offset_slice, expand_dims, squeeze, pad, mirror_pad, tile, broadcast_to, broadcast_args,
        range_, fill, shape_of, topk, one_hot, gather, batched_gather, gather_nd, scatter_nd, sparse_to_dense,
        unique, embedding_lookup, reverse_sequence, reverse_v2, matrix_diag, matrix_set_diag, space_to_batch,
        batch_to_space, dynamic_update_slice, transpose,
    )
} | {f"unsorted_segment_{n}": unsorted(n) for n in ("sum", "prod", "max", "min")}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", COUNTS)
def test_equals_litert(name: str, count: int) -> None:
    tried = 0
    for seed in range(count * 2):
        rng = np.random.default_rng(seed)
        model = CASES[name](rng)
        if model is not None:
            check(model, [random_inputs(rng, model)])
            tried += 1
    assert tried >= count / 2


def through_cpu(model: Model, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """By kernels where there are any, else by NumPy inside the same program."""
    delegate = CpuBackend(threads=1).prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    results = [aligned(t.nbytes) for t in model.main.outputs]
    delegate.run(
        RunContext(),
        [memoryview(np.ascontiguousarray(a)).cast("B") for a in inputs],
        [r.data for r in results],
    )
    return [
        np.frombuffer(r.tobytes(), str(t.dtype)).reshape(t.shape)
        for r, t in zip(results, model.main.outputs, strict=True)
    ]


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"unique"}))
def test_the_cpu_backend_agrees(name: str) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = CASES[name](rng)
        if model is not None:
            inputs = random_inputs(rng, model)
            for ours, theirs in zip(
                through_cpu(model, inputs), Evaluation(model).run(inputs).values(), strict=True
            ):
                np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6, err_msg=str(model))


def test_an_ellipsis_takes_at_least_one_dimension() -> None:
    """LiteRT's reading: beside slices for every dimension the last slice is dropped."""
    attrs = {"ellipsis_mask": 1}
    (index,) = (strided_index(Node("strided_slice", (), (), attrs), (4, 5), (0, 1, 2), (0, 2, 3), (1, 1, 1)),)
    assert np.zeros((4, 5))[index].shape == (4, 1)


@pytest.mark.parametrize(
    ("kind", "inputs", "attrs", "message"),
    [
        ("strided_slice", [np.zeros(3), [0], [1], [0]], {}, "stride 0"),
        ("strided_slice", [np.zeros(3), [5], [6], [1]], {"shrink_axis_mask": 1}, "index 5 is out of range"),
        ("strided_slice", [np.zeros(3), [0, 0], [1, 1], [1, 1]], {}, "2 slices for 1 dimensions"),
        ("range", [0, 5, 0], {}, "no range from 0 to 5 by 0"),
        ("topk_v2", [np.zeros(3), 4], {}, "k = 4 of 3 values"),
        ("pad", [np.zeros(3), [[-1, 0]]], {}, "not negative"),
        ("mirror_pad", [np.zeros(3), [[3, 0]]], {}, "more than a dimension of 3 mirrors"),
        ("tile", [np.zeros(3), [1, 2]], {}, "2 multiples for 1 dimensions"),
        ("scatter_nd", [[[9]], [1.0], [3]], {}, "index 9 is out of range"),
        ("gather_nd", [np.zeros(3), [[0, 0]]], {}, "do not fit"),
        ("segment_sum", [np.zeros(2), [1, 0]], {}, "must ascend"),
        ("reverse_sequence", [np.zeros((2, 2)), [1, 9]], {"seq_dim": 1}, "length 9 of a sequence of 2"),
        ("space_to_depth", [np.zeros((1, 3, 3, 1))], {"block_size": 2}, "does not divide into blocks of 2"),
        ("broadcast_to", [np.zeros(3), [2]], {}, "do not broadcast"),
    ],
)  # fmt: skip
def test_mistakes_are_named(kind: str, inputs: list[object], attrs: dict[str, int], message: str) -> None:
    arrays = [a.astype(np.float32) if isinstance(a, np.ndarray) else np.array(a) for a in inputs]
    ends = tuple(tensor(str(a.dtype), a.shape) for a in arrays)
    with pytest.raises(ShapeError, match=message):
        evaluate_node(Node(kind, ends, (tensor("float32", ()),), attrs), arrays)
