"""Makers of cases with weights: convolutions, fully connected layers, matrix products, pools, resizes."""

from __future__ import annotations

import numpy as np

from edged.graph.model import Quantization, Tensor
from fuzz.ops_draft import Draft, Maker
from support.build import quant, random_weights

FUSED = ("NONE", "NONE", "RELU", "RELU_N1_TO_1", "RELU6")
PADDING = ("SAME", "VALID")
INTEGERS = {"int8": "int32", "int16": "int64", "uint8": "int32"}


def weights(draft: Draft, dtype: str, shape: tuple[int, ...], axis: int, *, channels: bool = True) -> Tensor:
    """A constant filter: per channel along `axis` or per tensor for int8, per tensor with a zero point for uint8."""
    if dtype == "float32":
        return draft.constant(dtype, draft.values(dtype, shape))
    if dtype == "uint8":
        return draft.constant(dtype, draft.values(dtype, shape), quant(10 ** draft.rng.uniform(-3, -1), draft.whole(0, 255)))
    count = shape[axis] if channels and draft.chance(0.6) else 1
    scales = 10 ** draft.rng.uniform(-4, -1, count)
    values = random_weights(draft.rng, dtype, shape)
    return draft.constant(dtype, values, quant(scales, 0, axis))


def bias(draft: Draft, dtype: str, count: int, source: Quantization | None, filters: Tensor, *, wide: bool = False) -> Tensor | None:
    """None, or a constant. `wide`: int64 beside int16, whatever LiteRT checks (it reads an int32 one as int64)."""
    if draft.chance(0.1):
        return None
    if dtype == "float32":
        return draft.constant(dtype, draft.values(dtype, (count,)))
    assert source is not None
    assert filters.quantization is not None
    scales = np.asarray(filters.quantization.scales) * source.scale
    kind = "int64" if dtype == "int16" and wide else draft.one_of(("int32", "int64")) if dtype == "int16" else "int32"
    return draft.constant(kind, draft.rng.integers(-5000, 5000, count), quant(scales))


def kinds(draft: Draft) -> tuple[str, str]:
    """Dtypes of activations and weights; float32 over int8 is the hybrid form."""
    return draft.one_of((("float32", "float32"), ("int8", "int8"), ("int8", "int8"), ("uint8", "uint8"), ("int16", "int8")))


def result(draft: Draft, dtype: str, source: Tensor, filters: Tensor, terms: int) -> Quantization | None:
    """A quantisation that most sums fit in, seldom one that they do not."""
    if dtype == "float32":
        return None
    assert source.quantization is not None
    assert filters.quantization is not None
    reach = source.quantization.scale * max(filters.quantization.scales) * max(terms, 1) ** 0.5
    steps = {"int8": 90.0, "uint8": 90.0, "int16": 150.0 if filters.dtype == "int8" else 36000.0}[dtype]
    found = draft.quant(dtype)
    assert found is not None
    return quant(reach * steps * 10 ** draft.rng.uniform(-0.7, 1.5), found.zero_point)


def window(draft: Draft, size: int = 3) -> dict[str, object]:
    return {"padding": draft.one_of(PADDING), "stride_h": draft.whole(1, size), "stride_w": draft.whole(1, size)}


def conv_2d(draft: Draft) -> None:
    dtype, kind = kinds(draft)
    groups = draft.whole(2, 3) if draft.chance(0.2) else 1
    depth, count = draft.whole(1, 9), draft.whole(1, 9) * groups
    kh, kw = draft.whole(1, 4), draft.whole(1, 4)
    n, h, w = draft.whole(1, 3), draft.whole(1, 9), draft.whole(1, 9)
    q = draft.quant(dtype)
    x = draft.put(dtype, (n, h, w, depth * groups), q)
    f = weights(draft, kind, (count, kh, kw, depth), 0)
    attrs = window(draft) | {"fused_activation_function": draft.one_of(FUSED)}
    if draft.chance(0.3):
        attrs |= {"dilation_h_factor": draft.whole(1, 3), "dilation_w_factor": draft.whole(1, 3)}
    draft.op("conv_2d", [x, f, bias(draft, dtype, count, q, f)], [(dtype, result(draft, dtype, x, f, kh * kw * depth))], attrs, 3)


def depthwise_conv_2d(draft: Draft) -> None:
    dtype, kind = kinds(draft)
    depth, times = draft.whole(1, 17), draft.one_of((1, 1, 1, 2, 3, 8))
    kh, kw = draft.whole(1, 5), draft.whole(1, 5)
    q = draft.quant(dtype)
    x = draft.put(dtype, (draft.whole(1, 2), draft.whole(1, 9), draft.whole(1, 9), depth), q)
    f = weights(draft, kind, (1, kh, kw, depth * times), 3)
    attrs = window(draft) | {"fused_activation_function": draft.one_of(FUSED), "depth_multiplier": times}
    if draft.chance(0.3):
        attrs |= {"dilation_h_factor": draft.whole(1, 3), "dilation_w_factor": draft.whole(1, 3)}
    outs = [(dtype, result(draft, dtype, x, f, kh * kw))]
    draft.op("depthwise_conv_2d", [x, f, bias(draft, dtype, depth * times, q, f)], outs, attrs, 3)


def transpose_conv(draft: Draft) -> None:
    dtype, kind = kinds(draft)
    depth, count, kh, kw = (draft.whole(1, k) for k in (9, 9, 4, 4))
    attrs = window(draft) | {"fused_activation_function": draft.one_of(FUSED) if draft.chance(0.3) else "NONE"}
    n, h, w = draft.whole(1, 2), draft.whole(1, 6), draft.whole(1, 6)
    sizes = []
    for d, s, k in ((h, attrs["stride_h"], kh), (w, attrs["stride_w"], kw)):
        assert isinstance(s, int)
        sizes.append(d * s - draft.whole(0, s - 1) if attrs["padding"] == "SAME" else (d - 1) * s + k + draft.whole(0, s - 1))
    q = draft.quant(dtype)
    x = draft.put(dtype, (n, h, w, depth), q)
    f = weights(draft, kind, (count, kh, kw, depth), 0)
    shape = np.array([n, *sizes, count], np.int32)
    ins = [draft.put("int32", (4,), None, shape, fixed=0.8), f, x, bias(draft, dtype, count, q, f, wide=True)]
    draft.op("transpose_conv", ins[: 4 if ins[3] else 3], [(dtype, result(draft, dtype, x, f, kh * kw * depth))], attrs, 4)


def fully_connected(draft: Draft) -> None:
    dtype, kind = kinds(draft)
    depth, count = draft.whole(1, 40), draft.whole(1, 20)
    lead = draft.shape(0, 3, 4)
    keep = draft.chance(0.4)
    q = draft.quant(dtype)
    x = draft.put(dtype, (*lead, depth) if keep or draft.chance(0.6) else (int(np.prod(lead)) * depth,), q)
    f = weights(draft, kind, (count, depth), 0)
    attrs = {"keep_num_dims": keep, "fused_activation_function": draft.one_of(FUSED)}
    outs = [(dtype, result(draft, dtype, x, f, depth))]
    draft.op("fully_connected", [x, f, bias(draft, dtype, count, q, f)], outs, attrs, 12)


def hybrid(kind: str) -> Maker:
    """Float activations over int8 weights: LiteRT quantises each row on the way in."""

    def make(draft: Draft) -> None:
        depth, count = draft.whole(1, 24), draft.whole(1, 9)
        attrs: dict[str, object] = {"fused_activation_function": draft.one_of(FUSED)}
        if kind == "fully_connected":
            attrs |= {"asymmetric_quantize_inputs": draft.chance(0.5), "keep_num_dims": draft.chance(0.5)}
            x = draft.put("float32", (draft.whole(1, 4), depth))
            f = weights(draft, "int8", (count, depth), 0)
            draft.op(kind, [x, f, bias(draft, "float32", count, None, f)], [("float32", None)], attrs, 12)
            return
        x = draft.put("float32", (draft.whole(1, 2), draft.whole(2, 7), draft.whole(2, 7), depth))
        attrs |= window(draft, 2)
        if kind == "conv_2d":
            f = weights(draft, "int8", (count, draft.whole(1, 3), draft.whole(1, 3), depth), 0)
        else:
            f, count = weights(draft, "int8", (1, draft.whole(1, 3), draft.whole(1, 3), depth), 3), depth
            attrs |= {"depth_multiplier": 1}
        draft.op(kind, [x, f, bias(draft, "float32", count, None, f)], [("float32", None)], attrs, 6)

    return make


def batch_matmul(draft: Draft) -> None:
    dtype = draft.one_of(("float32", "int8", "int16", "int32"))
    m, k, n = (draft.whole(1, 9) for _ in range(3))
    lead = draft.shape(0, 3, 3)
    second = tuple(1 if draft.chance(0.3) else d for d in lead)[draft.whole(0, len(lead)) if draft.chance(0.2) else 0 :]
    adj_x, adj_y = draft.chance(0.4), draft.chance(0.4)
    qs = [None if dtype == "int32" else draft.quant(dtype) for _ in range(2)]
    x = draft.put(dtype, (*lead, *((k, m) if adj_x else (m, k))), qs[0])
    y = draft.put(dtype, (*second, *((n, k) if adj_y else (k, n))), qs[1], fixed=0.3)
    q = None if qs[0] is None else result(draft, dtype, x, y, k)
    draft.op("batch_matmul", [x, y], [("int32" if dtype == "int32" else dtype, q)], {"adj_x": adj_x, "adj_y": adj_y}, 4)


def pool(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = "float32" if kind == "l2_pool_2d" else draft.one_of(("float32", "int8", "uint8", "int16"))
        q = draft.quant(dtype)
        x = draft.put(dtype, (draft.whole(1, 3), draft.whole(1, 9), draft.whole(1, 9), draft.whole(1, 20)), q)
        attrs = window(draft) | {"fused_activation_function": draft.one_of(FUSED)}
        most = x.shape[1:3] if attrs["padding"] == "VALID" else (4, 4)
        attrs |= {"filter_height": draft.whole(1, min(4, most[0])), "filter_width": draft.whole(1, min(4, most[1]))}
        draft.op(kind, [x], [(dtype, q)], attrs, 1 if kind == "l2_pool_2d" else 3)

    return make


def resize(kind: str) -> Maker:
    def make(draft: Draft) -> None:
        dtype = draft.one_of(("float32", "int8", "uint8", "int16"))
        q = draft.quant(dtype)
        x = draft.put(dtype, (draft.whole(1, 2), draft.whole(1, 7), draft.whole(1, 7), draft.whole(1, 9)), q)
        size = draft.put("int32", (2,), None, draft.rng.integers(1, 12, 2).astype(np.int32), fixed=0.8)
        corners = draft.chance(0.4)
        attrs = {"align_corners": corners, "half_pixel_centers": not corners and draft.chance(0.5)}
        draft.op(kind, [x, size], [(dtype, q)], attrs, 4)

    return make


def local_response_normalization(draft: Draft) -> None:
    attrs = {"radius": draft.whole(0, 4), "bias": 1.0, "alpha": 0.5, "beta": draft.one_of((0.5, 1.0, 0.75))}
    draft.op("local_response_normalization", [draft.put("float32", draft.shape(4, 4))], [("float32", None)], attrs)


def conv_3d(draft: Draft) -> None:
    depth, count = draft.whole(1, 4), draft.whole(1, 4)
    x = draft.put("float32", (draft.whole(1, 2), *(draft.whole(1, 5) for _ in range(3)), depth))
    f = draft.constant("float32", draft.values("float32", (*(draft.whole(1, 3) for _ in range(3)), depth, count)))
    attrs = window(draft, 2) | {"stride_d": draft.whole(1, 2), "fused_activation_function": draft.one_of(FUSED)}
    attrs |= {f"dilation_{a}_factor": draft.whole(1, 2) for a in "dhw"} if draft.chance(0.3) else {}
    draft.op("conv_3d", [x, f, bias(draft, "float32", count, None, f)], [("float32", None)], attrs)


MAKERS: dict[str, Maker] = {
    "conv_2d": conv_2d, "depthwise_conv_2d": depthwise_conv_2d, "transpose_conv": transpose_conv,
    "fully_connected": fully_connected, "batch_matmul": batch_matmul, "conv_3d": conv_3d,
    **{f"hybrid {kind}": hybrid(kind) for kind in ("fully_connected", "conv_2d", "depthwise_conv_2d")},
    **{kind: pool(kind) for kind in ("average_pool_2d", "max_pool_2d", "l2_pool_2d")},
    **{kind: resize(kind) for kind in ("resize_bilinear", "resize_nearest_neighbor")},
    "local_response_normalization": local_response_normalization,
}  # fmt: skip
