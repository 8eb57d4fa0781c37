"""Data movement through the kernels, against LiteRT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged.graph.model import Model
from support.build import constant, one_op, quant, random_array
from support.lowered import agree, run_lowered

Array = np.ndarray[Any, np.dtype[Any]]
MASKS = ("",)
DTYPES = ["float32", "int8", "int32", "int64", "int16", "bool", "uint8"]


def i32(*values: int) -> Any:
    return constant("int32", np.array(values, np.int32))


def data(shape: tuple[int, ...], dtype: str = "int8", seed: int = 0) -> Array:
    return random_array(np.random.default_rng(seed), dtype, shape)


def check(
    op: str,
    inputs: list[Any],
    out: Any,
    attrs: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    version: int = 1,
) -> Model:
    outs = out if isinstance(out, list) else [out]
    model = one_op(op, inputs, outs, attrs, version=version)
    given = [data(t.shape, str(t.dtype), seed + i) for i, t in enumerate(model.main.inputs)]
    agree(model, given, oracle="litert", masks=MASKS)
    return model


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "permutation", [(1, 0, 2, 3), (3, 2, 1, 0), (0, 3, 1, 2), (0, 2, 3, 1), (0, 1, 2, 3)]
)
def test_transpose(dtype: str, permutation: tuple[int, ...]) -> None:
    shape = (2, 5, 6, 7)
    check("transpose", [(dtype, shape), i32(*permutation)], (dtype, tuple(shape[p] for p in permutation)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concatenation_and_split(dtype: str, axis: int) -> None:
    shapes = [[3, 4, 5] for _ in range(3)]
    for i, shape in enumerate(shapes):
        shape[axis] = i + 1
    whole = [3, 4, 5]
    whole[axis] = 6
    attrs = {"axis": axis, "fused_activation_function": "NONE"}
    if dtype != "bool":
        check("concatenation", [(dtype, tuple(s)) for s in shapes], (dtype, tuple(whole)), attrs)
    if dtype in ("float32", "int8", "int32", "int16", "uint8"):
        sizes = i32(1, 2, 3)
        outs = [(dtype, tuple(s)) for s in shapes]
        check("split_v", [(dtype, tuple(whole)), sizes, i32(axis)], outs, {"num_splits": 3})
        whole[axis] //= 2
        check(
            "split",
            [i32(axis), (dtype, tuple(shapes[2]))],
            [(dtype, tuple(shapes[0]))] * 3,
            {"num_splits": 3},
        )


@pytest.mark.parametrize("dtype", ["float32", "int8", "int32"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pack_and_unpack(dtype: str, axis: int) -> None:
    out = [4, 5]
    out.insert(axis, 3)
    check("pack", [(dtype, (4, 5))] * 3, (dtype, tuple(out)), {"axis": axis, "values_count": 3})
    check("unpack", [(dtype, tuple(out))], [(dtype, (4, 5))] * 3, {"axis": axis, "num": 3})


@pytest.mark.parametrize("dtype", ["float32", "int8", "int32", "int64"])
def test_pads(dtype: str) -> None:
    pads = constant("int32", np.array([[0, 0], [1, 2], [3, 0], [0, 1]], np.int32))
    value = constant(dtype, np.array([5], dtype))
    check("pad", [(dtype, (2, 3, 4, 5)), pads], (dtype, (2, 6, 7, 6)))
    check("padv2", [(dtype, (2, 3, 4, 5)), pads, value], (dtype, (2, 6, 7, 6)))
    for mode, pad in (("REFLECT", [[0, 1], [3, 2], [0, 0]]), ("SYMMETRIC", [[2, 1], [3, 4], [1, 0]])):
        out = tuple(n + a + b for n, (a, b) in zip((2, 4, 3), pad, strict=True))
        mirrored = constant("int32", np.array(pad, np.int32))
        check("mirror_pad", [(dtype, (2, 4, 3)), mirrored], (dtype, out), {"mode": mode})


def test_quantised_pad_uses_the_zero_point() -> None:
    pads = constant("int32", np.array([[0, 0], [1, 2], [3, 0], [0, 1]], np.int32))
    for dtype, zero in (("int8", -7), ("uint8", 130)):
        q = quant(0.1, zero)
        check("pad", [(dtype, (2, 3, 4, 5), q), pads], (dtype, (2, 6, 7, 6), q))


@pytest.mark.parametrize("seed", range(12))
def test_strided_slices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(2, 8, 3))
    begin = [int(rng.integers(-n, n)) for n in shape]
    end = [int(rng.integers(-n - 1, n + 1)) for n in shape]
    step = [int(rng.choice([-2, -1, 1, 2, 3])) for _ in shape]
    masks = {k: int(rng.integers(8)) for k in ("begin_mask", "end_mask")}
    shrink = 1 << int(rng.integers(3)) if rng.integers(2) else 0
    index: list[Any] = []
    for i in range(3):
        if shrink >> i & 1:
            step[i] = 1
            index.append(0 if masks["begin_mask"] >> i & 1 else begin[i])
        else:
            first = None if masks["begin_mask"] >> i & 1 else begin[i]
            last = None if masks["end_mask"] >> i & 1 else end[i]
            index.append(slice(first, last, step[i]))
    out = np.zeros(shape)[tuple(index)].shape
    if 0 in out:
        return
    attrs = {**masks, "shrink_axis_mask": shrink, "ellipsis_mask": 0, "new_axis_mask": 0, "offset": False}
    check(
        "strided_slice",
        [("int32", shape), i32(*begin), i32(*end), i32(*step)],
        ("int32", out),
        attrs,
        seed=seed,
    )


def test_slice_tile_broadcast_reverse() -> None:
    check("slice", [("int8", (4, 5, 6)), i32(1, 0, 2), i32(2, 5, 3)], ("int8", (2, 5, 3)))
    check("tile", [("float32", (2, 3, 4)), i32(2, 1, 3)], ("float32", (4, 3, 12)))
    check("broadcast_to", [("float32", (3, 1)), i32(2, 3, 4)], ("float32", (2, 3, 4)), version=2)
    check("reverse_v2", [("int32", (2, 3, 4)), i32(0, 1)], ("int32", (2, 3, 4)))
    check("reshape", [("int8", (2, 6)), i32(3, 4)], ("int8", (3, 4)), {"new_shape": (3, 4)})


def test_space_batch_depth() -> None:
    pads, none = (
        constant("int32", np.array([[1, 0], [0, 2]], np.int32)),
        constant("int32", np.zeros((2, 2), np.int32)),
    )
    check("space_to_depth", [("int8", (2, 4, 6, 3))], ("int8", (2, 2, 3, 12)), {"block_size": 2})
    check("depth_to_space", [("float32", (2, 2, 3, 12))], ("float32", (2, 4, 6, 3)), {"block_size": 2})
    check("space_to_batch_nd", [("float32", (2, 3, 4, 3)), i32(2, 2), pads], ("float32", (8, 2, 3, 3)))
    check(
        "space_to_batch_nd",
        [("int8", (1, 6, 6, 5), quant(0.1, 3)), i32(3, 2), none],
        ("int8", (6, 2, 3, 5), quant(0.1, 3)),
    )
    crops = constant("int32", np.array([[1, 0], [0, 1]], np.int32))
    check("batch_to_space_nd", [("float32", (8, 2, 3, 3)), i32(2, 2), crops], ("float32", (2, 3, 5, 3)))


def test_gathers() -> None:
    rng = np.random.default_rng(3)
    for axis, index_type in ((0, "int32"), (1, "int64"), (-1, "int32")):
        out = [4, 5, 6]
        out[axis : axis + 1 or None] = [2, 3]
        index = constant(index_type, rng.integers(0, (4, 5, 6)[axis], (2, 3)).astype(index_type))
        check(
            "gather",
            [("float32", (4, 5, 6)), index],
            ("float32", tuple(out)),
            {"axis": axis, "batch_dims": 0},
        )
    batched = constant("int32", rng.integers(0, 5, (4, 2)).astype(np.int32))
    check("gather", [("int8", (4, 5, 6)), batched], ("int8", (4, 2, 6)), {"axis": 1, "batch_dims": 1})
    pairs = constant("int32", np.stack([rng.integers(0, 4, 7), rng.integers(0, 5, 7)], 1).astype(np.int32))
    check("gather_nd", [("float32", (4, 5, 6)), pairs], ("float32", (7, 6)))
    rows = constant("int32", np.array([[1], [3], [1]], np.int32))
    shape = i32(5, 2)
    check("scatter_nd", [rows, ("float32", (3, 2)), shape], ("float32", (5, 2)))


def test_indices_outside_are_clamped() -> None:
    """What a client may write while we read: the kernel must stay inside, whatever it gives."""
    model = one_op("gather", [("int32", (3, 2)), ("int32", (4,))], [("int32", (4, 2))], {"axis": 0})
    source = np.arange(6, dtype=np.int32).reshape(3, 2)
    (got,) = run_lowered(model, [source, np.array([-5, 1, 3, 2**31 - 1], np.int32)])
    np.testing.assert_array_equal(got, source[[0, 1, 2, 2]])


def test_one_hot_reverse_sequence_fill() -> None:
    on, off = (
        constant("float32", np.float32(2.5).reshape(())),
        constant("float32", np.float32(-1).reshape(())),
    )
    depth = constant("int32", np.array(4, np.int32).reshape(()))
    index = constant("int32", np.array([[0, 3, 9], [1, -1, 2]], np.int32))
    for axis, out in ((-1, (2, 3, 4)), (0, (4, 2, 3)), (1, (2, 4, 3))):
        check("one_hot", [index, depth, on, off], ("float32", out), {"axis": axis})
    lengths = constant("int32", np.array([2, 5, 0], np.int32))
    check(
        "reverse_sequence",
        [("float32", (3, 5, 2)), lengths],
        ("float32", (3, 5, 2)),
        {"seq_dim": 1, "batch_dim": 0},
    )
    check(
        "reverse_sequence",
        [("float32", (5, 2, 3)), lengths],
        ("float32", (5, 2, 3)),
        {"seq_dim": 0, "batch_dim": 2},
    )
