"""Typical nodes of the operators that move, convert, pool and multiply: the other half of `typical`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from edged.graph.model import Model, Tensor
from support import signal_models
from support.build import constant, one_op, quant, random_array, random_weights
from support.typical import FLOAT, PLAIN, QUANTISED, SHAPE, Case, Rng, ints, like, scale_of

EVERY = (*FLOAT, *QUANTISED, *PLAIN, "bool")
Row = tuple[Sequence[Any], Sequence[Any], Mapping[str, Any]]
"""Inputs, outputs and attributes: a shape stands for a tensor of the case's dtype."""


def _move_rows() -> dict[str, Row]:
    n, h, w, c = SHAPE
    return {
        "reshape": ([SHAPE, ints(2, 120)], [(2, 120)], {"new_shape": [2, 120]}),
        "squeeze": ([(1, *SHAPE)], [SHAPE], {"squeeze_dims": [0]}),
        "expand_dims": ([SHAPE, ints(0)], [(1, *SHAPE)], {}),
        "transpose": ([SHAPE, ints(0, 3, 1, 2)], [(n, c, h, w)], {}),
        "concatenation": ([SHAPE, SHAPE], [(n, h, w, 2 * c)], {"axis": 3}),
        "split": ([ints(3), SHAPE], [(n, h, w, 2)] * 2, {"num_splits": 2}),
        "split_v": ([SHAPE, ints(1, 5), ints(1)], [(n, 1, w, c), (n, 5, w, c)], {"num_splits": 2}),
        "pack": ([SHAPE, SHAPE], [(n, 2, h, w, c)], {"axis": 1, "values_count": 2}),
        "unpack": ([SHAPE], [(n, h, w)] * c, {"axis": 3, "num": c}),
        "pad": ([SHAPE, constant("int32", np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))], [(n, 9, 6, c)], {}),
        "mirror_pad": (
            [SHAPE, constant("int32", np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))], [(n, 9, 6, c)], {"mode": "REFLECT"},
        ),
        "slice": ([SHAPE, ints(0, 1, 0, 2), ints(2, 4, 5, 2)], [(2, 4, 5, 2)], {}),
        "strided_slice": (
            [SHAPE, ints(0, 1, 0, 0), ints(0, 6, 5, 4), ints(1, 2, 1, 1)], [(n, 3, w)], {"begin_mask": 1, "end_mask": 1, "shrink_axis_mask": 8},
        ),
        "tile": ([SHAPE, ints(1, 2, 1, 3)], [(n, 12, w, 12)], {}),
        "broadcast_to": ([(1, h, 1, c), ints(*SHAPE)], [SHAPE], {}),
        "reverse_v2": ([SHAPE, ints(2)], [SHAPE], {}),
        "space_to_depth": ([(n, h, 4, c)], [(n, 3, 2, 16)], {"block_size": 2}),
        "depth_to_space": ([SHAPE], [(n, 12, 10, 1)], {"block_size": 2}),
        "space_to_batch_nd": ([(n, h, 4, c), ints(2, 2), constant("int32", np.zeros((2, 2), np.int32))], [(8, 3, 2, c)], {}),
        "batch_to_space_nd": ([(8, 3, 2, c), ints(2, 2), constant("int32", np.zeros((2, 2), np.int32))], [(n, h, 4, c)], {}),
        "gather": ([SHAPE, ints(3, 0, 5)], [(n, 3, w, c)], {"axis": 1}),
        "gather_nd": ([SHAPE, constant("int32", np.array([[0, 5], [1, 2]], np.int32))], [(2, w, c)], {}),
        "reverse_sequence": ([SHAPE, ints(3, 6)], [SHAPE], {"seq_dim": 1, "batch_dim": 0}),
        "one_hot": ([ints(0, 2, 7), ints(4), (), ()], [(3, 4)], {"axis": -1}),
        "dynamic_update_slice": ([SHAPE, (1, 2, w, c), ints(1, 3, 0, 0)], [SHAPE], {}),
        "matrix_diag": ([(3, 5)], [(3, 5, 5)], {}),
        "matrix_set_diag": ([(3, 5, 4), (3, 4)], [(3, 5, 4)], {}),
        "fill": ([ints(3, 4), ()], [(3, 4)], {}),
    }  # fmt: skip


def _moved(kind: str, row: Row, dtype: str, _rng: Rng) -> Model:
    inputs, outputs, attrs = row

    def made(part: Any) -> Any:
        return like(dtype, part) if isinstance(part, tuple) else part

    return one_op(kind, [made(i) for i in inputs], [made(o) for o in outputs], attrs)


def movement() -> Iterator[Case]:
    for kind, row in _move_rows().items():
        dtypes = EVERY if kind not in ("matrix_diag", "matrix_set_diag") else (*FLOAT, *QUANTISED, *PLAIN)
        if kind in ("fill", "one_hot", "dynamic_update_slice"):
            dtypes = ("float32", "int8", "int32", "int64")
        for d in dtypes:
            if (kind, d) not in {("mirror_pad", "bool"), ("pad", "bool")}:
                yield Case(kind, d, partial(_moved, kind, row, d))
    for d in ("float32", "int8"):
        yield Case("padv2", d, partial(_padv2, d))
    for d in ("float32", "int8", "int32", "int64"):
        yield Case("scatter_nd", d, partial(_scatter, d))
        yield Case("sparse_to_dense", d, partial(_sparse, d))
    for kind in ("shape", "rank"):
        out: Any = ("int32", (4,) if kind == "shape" else ())
        yield Case(kind, "float32", partial(_fixed, kind, [like("float32")], [out], {"out_type": "INT32"}))
    for name in ("sum", "prod", "max", "min"):
        for d in ("float32", "int32"):
            inputs = [like(d, (5, 4)), ints(0, 2, 1, -1, 2), ints(3)]
            kind = f"unsorted_segment_{name}"
            yield Case(kind, d, partial(_fixed, kind, inputs, [like(d, (3, 4))], {}))
    for d in ("float32", "int32"):
        inputs = [like(d, (5, 4)), ints(0, 0, 1, 2, 2)]
        yield Case("segment_sum", d, partial(_fixed, "segment_sum", inputs, [like(d, (3, 4))], {}))
    yield Case("bucketize", "float32", partial(_fixed, "bucketize", [like("float32")], [("int32", SHAPE)], {"boundaries": [-1.0, 0.5, 2.0]}))
    for d in ("float32", "int8"):
        yield Case("embedding_lookup", d, partial(_lookup, d))


def _fixed(kind: str, inputs: Sequence[Any], outputs: Sequence[Any], attrs: Mapping[str, Any], _rng: Rng) -> Model:
    return one_op(kind, inputs, outputs, attrs)


def _padv2(dtype: str, rng: Rng) -> Model:
    pads = constant("int32", np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32))
    value = constant(dtype, random_array(rng, dtype, ()), scale_of(dtype))
    return one_op("padv2", [like(dtype), pads, value], [like(dtype, (2, 9, 6, 4))])


def _scatter(dtype: str, _rng: Rng) -> Model:
    index = constant("int32", np.array([[2], [0], [2]], np.int32))
    return one_op("scatter_nd", [index, like(dtype, (3, 4)), ints(5, 4)], [like(dtype, (5, 4))])


def _sparse(dtype: str, rng: Rng) -> Model:
    index = constant("int32", np.array([[0, 1], [2, 3]], np.int32))
    fallback = constant(dtype, random_array(rng, dtype, ()), scale_of(dtype))
    return one_op("sparse_to_dense", [index, ints(3, 4), like(dtype, (2,)), fallback], [like(dtype, (3, 4))])


def _lookup(dtype: str, rng: Rng) -> Model:
    table = constant(dtype, random_array(rng, dtype, (7, 5)), None if dtype == "float32" else quant(0.02))
    return one_op("embedding_lookup", [ints(6, 0, 3), table], [("float32", (3, 5))])


# ---- conversions ----


def conversions() -> Iterator[Case]:
    for d in (*QUANTISED, "int32"):
        to = like(d) if d != "int32" else (d, SHAPE, quant(0.001))
        if d != "int32":
            yield Case("quantize", f"float32 to {d}", partial(_fixed, "quantize", [like("float32")], [to], {}))
        yield Case("dequantize", d, partial(_fixed, "dequantize", [to], [like("float32")], {}))
    for a, b in (("int8", "uint8"), ("uint8", "int8"), ("int8", "int16"), ("int16", "int8"), ("int16", "int16")):
        yield Case("quantize", f"{a} to {b}", partial(_fixed, "quantize", [like(a)], [like(b, SHAPE, 1.7)], {}))
    for a in ("float32", "int32", "int64", "bool", "uint8"):
        for b in ("float32", "int32", "int64", "bool", "int8"):
            if a != b:
                source, to = like(a, stored=True), like(b, stored=True)
                yield Case("cast", f"{a} to {b}", partial(_fixed, "cast", [source], [to], {}))
    attrs = {"min": -3.0, "max": 3.0, "num_bits": 8}
    yield Case("fake_quant", "float32", partial(_fixed, "fake_quant", [like("float32")], [like("float32")], attrs))
    yield Case("bitcast", "float32 to int32", partial(_fixed, "bitcast", [like("float32")], [like("int32")], {}))


# ---- windows and weights ----

_WEIGHTED = ("float32", "int8", "uint8", "int16", "float32 x int8")


def _weights(rng: Rng, dtype: str, shape: tuple[int, ...], axis: int) -> Tensor:
    if dtype == "float32":
        return constant(dtype, rng.normal(size=shape).astype(np.float32))
    if dtype == "uint8":
        return constant(dtype, random_weights(rng, dtype, shape), quant(0.01, 120))
    scales = rng.uniform(0.005, 0.02, shape[axis])
    return constant("int8", random_weights(rng, "int8", shape), quant(scales, axis=axis))


def _bias(rng: Rng, dtype: str, n: int) -> Tensor:
    kind = {"int16": "int64", "float32": "float32", "float32 x int8": "float32"}.get(dtype, "int32")
    return constant(kind, rng.integers(-500, 500, n).astype(kind))


def _layer(kind: str, dtype: str, rng: Rng) -> Model:
    own = dtype.split()[0]
    attrs = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "fused_activation_function": "NONE"}
    weights = "int8" if dtype in ("int16", "float32 x int8") else dtype
    if kind == "depthwise_conv_2d":
        inputs = [like(own), _weights(rng, weights, (1, 3, 3, 4), 3), _bias(rng, dtype, 4)]
        return one_op(kind, inputs, [like(own, SHAPE, 8.0)], {**attrs, "depth_multiplier": 1})
    if kind == "fully_connected":
        fc_weights = _weights(rng, weights, (7, 20), 0)
        return one_op(kind, [like(own, (3, 20)), fc_weights, _bias(rng, dtype, 7)], [like(own, (3, 7), 8.0)])
    inputs = [like(own), _weights(rng, weights, (7, 3, 3, 4), 0), _bias(rng, dtype, 7)]
    if kind == "conv_2d":
        return one_op(kind, inputs, [like(own, (2, 6, 5, 7), 16.0)], attrs)
    shape = (2, 12, 10, 7)
    given = [ints(*shape), inputs[1], inputs[0], inputs[2]]
    return one_op(kind, given, [like(own, shape, 16.0)], {**attrs, "stride_w": 2, "stride_h": 2})


def _product(dtype: str, rng: Rng) -> Model:
    own = dtype.split()[0]
    right: Any = like(own, (2, 5, 7))
    if dtype == "float32 x int8":
        right = constant("int8", random_weights(rng, "int8", (1, 5, 7)), quant(0.01))
    return one_op("batch_matmul", [like(own, (2, 3, 5)), right], [like(own, (2, 3, 7), 8.0)])


def _pool(kind: str, dtype: str, _rng: Rng) -> Model:
    attrs = {"padding": "SAME", "stride_w": 2, "stride_h": 2, "filter_width": 3, "filter_height": 3}
    return one_op(kind, [like(dtype)], [like(dtype, (2, 3, 3, 4))], attrs)


def _resize(kind: str, dtype: str, _rng: Rng) -> Model:
    return one_op(kind, [like(dtype), ints(9, 11)], [like(dtype, (2, 9, 11, 4))], {"half_pixel_centers": True})


def _volume(rng: Rng) -> Model:
    weights, bias = rng.normal(size=(2, 3, 3, 4, 7)), rng.normal(size=7)
    inputs = [like("float32", (1, 4, 5, 6, 4)), constant("float32", weights), constant("float32", bias)]
    attrs = {"padding": "SAME", "stride_d": 1, "stride_h": 2, "stride_w": 1}
    return one_op("conv_3d", inputs, [like("float32", (1, 4, 3, 6, 7))], attrs)


def _volume_back(rng: Rng) -> Model:
    shape = (1, 4, 10, 6, 7)
    weights = constant("float32", rng.normal(size=(2, 3, 3, 7, 4)))
    inputs = [ints(*shape), weights, like("float32", (1, 4, 5, 6, 4))]
    attrs = {"padding": "SAME", "stride_d": 1, "stride_h": 2, "stride_w": 1}
    return one_op("conv_3d_transpose", inputs, [like("float32", shape)], attrs)


def layers() -> Iterator[Case]:
    yield Case("conv_3d", "float32", _volume)
    yield Case("conv_3d_transpose", "float32", _volume_back)
    for kind in ("conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv"):
        for d in _WEIGHTED:
            yield Case(kind, d, partial(_layer, kind, d))
    for d in ("float32", "int8", "int16", "float32 x int8"):
        yield Case("batch_matmul", d, partial(_product, d))
    for kind in ("average_pool_2d", "max_pool_2d"):
        for d in (*FLOAT, *QUANTISED):
            yield Case(kind, d, partial(_pool, kind, d))
    yield Case("l2_pool_2d", "float32", partial(_pool, "l2_pool_2d", "float32"))
    for kind, dtypes in (("resize_bilinear", "float32 int8 uint8"), ("resize_nearest_neighbor", "float32 int8 uint8 int16")):
        for d in dtypes.split():
            yield Case(kind, d, partial(_resize, kind, d))


# ---- custom operators ----

_AUDIO: Mapping[str, Callable[[Rng], Model]] = {
    "Window": signal_models.window, "FftAutoScale": signal_models.auto_scale, "Rfft": signal_models.rfft("int16"),
    "Energy": signal_models.energy, "FilterBank": signal_models.filter_bank,
    "FilterBankSquareRoot": signal_models.square_root, "FilterBankSpectralSubtraction": signal_models.subtraction,
    "PCAN": signal_models.pcan, "FilterBankLog": signal_models.logarithm,
}  # fmt: skip


def _options(stride: int, kernel: int) -> bytes:
    return struct.pack("<6i", 1, stride, stride, kernel, kernel, 0) + bytes(16)


def _places(dtype: str, _rng: Rng) -> Model:
    outputs = [("float32", (2, 3, 3, 4)), (dtype, (2, 3, 3, 4))]
    return one_op("custom:MaxPoolingWithArgmax2D", [("float32", SHAPE)], outputs, options=_options(2, 3))


def _unpool(kind: str, dtype: str, rng: Rng) -> Model:
    places = rng.integers(0, 4, (2, 3, 2, 4)).astype(dtype)
    inputs = [("float32", (2, 3, 2, 4)), constant(dtype, places)]
    return one_op(kind, inputs, [("float32", (2, 6, 4, 4))], options=_options(2, 2))


def customs() -> Iterator[Case]:
    for name, make in _AUDIO.items():
        yield Case(f"custom:Signal{name}", "int16", make)
    for d in ("float32", "int32"):
        yield Case("custom:MaxPoolingWithArgmax2D", d, partial(_places, d))
        yield Case("custom:MaxUnpooling2D", d, partial(_unpool, "custom:MaxUnpooling2D", d))
    yield Case("custom:LiteRtMaxUnpooling2D", "int32", partial(_unpool, "custom:LiteRtMaxUnpooling2D", "int32"))


TABLES: tuple[Callable[[], Iterator[Case]], ...] = (movement, conversions, layers, customs)
