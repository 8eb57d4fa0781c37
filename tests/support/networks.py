"""Small networks of our own for backend tests: built in memory, with seeded weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor

Array = np.ndarray[Any, np.dtype[Any]]
CONV = {"padding": "SAME", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
POOL = {"padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}


def constant(name: str, array: Array, quantization: Quantization | None = None) -> Tensor:
    data = memoryview(np.ascontiguousarray(array).tobytes())
    return Tensor(name, DType(str(array.dtype)), array.shape, quantization=quantization, data=data)


def weights(dtype: DType, channels: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """3x3 weights and bias, in -> out channels."""
    rng = np.random.default_rng(seed)
    inside, outside = channels
    shape = (outside, 3, 3, inside)
    if dtype is DType.FLOAT32:
        w = constant("w", rng.standard_normal(shape).astype(np.float32) / 5)
        return w, constant("b", rng.standard_normal(outside).astype(np.float32))
    stored = rng.integers(-127, 128, shape).astype(np.int8)
    scale = 0.01
    if dtype is DType.UINT8:
        w = constant("w", (stored.astype(np.int16) + 128).astype(np.uint8), Quantization((scale,), (128,)))
    else:
        w = constant("w", stored, Quantization((scale,) * outside, (0,) * outside))
    bias = constant(
        "b", rng.integers(-500, 500, outside).astype(np.int32), Quantization((scale * 0.1,), (0,))
    )
    return w, bias


def activation(name: str, dtype: DType, shape: tuple[int, ...], scale: float = 0.1) -> Tensor:
    zero = {DType.UINT8: 120, DType.INT8: -8}.get(dtype)
    return Tensor(name, dtype, shape, quantization=None if zero is None else Quantization((scale,), (zero,)))


def tower(dtype: DType, seed: int = 0) -> Model:
    """conv - pool - conv - pool on 8x8x3: two kinds of nodes in turn, so that either can be made to fall
    back."""
    x = activation("x", dtype, (1, 8, 8, 3))
    a = activation("a", dtype, (1, 8, 8, 5), 0.3)
    b = activation("b", dtype, (1, 4, 4, 5), 0.3)
    c = activation("c", dtype, (1, 4, 4, 4), 0.9)
    y = activation("y", dtype, (1, 2, 2, 4), 0.9)
    w1, b1 = weights(dtype, (3, 5), seed)
    w2, b2 = weights(dtype, (5, 4), seed + 1)
    nodes = (
        Node(
            "conv_2d",
            (x, w1, b1),
            (a,),
            {**CONV, "fused_activation_function": "RELU"},
            origin="operator 0 CONV_2D",
        ),
        Node("max_pool_2d", (a,), (b,), POOL, origin="operator 1 MAX_POOL_2D"),
        Node("conv_2d", (b, w2, b2), (c,), CONV, origin="operator 2 CONV_2D"),
        Node("max_pool_2d", (c,), (y,), POOL, origin="operator 3 MAX_POOL_2D"),
    )
    return Model((Graph("main", (x,), (y,), nodes),))


def some_input(tensor: Tensor, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    if tensor.dtype.is_float:
        return rng.standard_normal(tensor.shape).astype(str(tensor.dtype))
    info = np.iinfo(str(tensor.dtype))
    return rng.integers(info.min, info.max + 1, tensor.shape).astype(str(tensor.dtype))
