"""FULLY_CONNECTED: float32, uint8, int8, int16x8, int16x16, hybrid; int4, int2, sparse and shuffled weights.

Where LiteRT and TFLite Micro disagree, this follows Micro: int16 activations with an int64 bias, or none, are
requantised by LiteRT 2.3 in double precision, by Micro with its 64-bit multiplier; LiteRT's optimised kernels
round ties of the final shift upwards (as in conv), Micro rounds them away from zero. Int16 weights, which
Micro does not run, are LiteRT's.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.arrays import constant
from edged.graph.model import DType, Node, Quantization, Shape
from edged.graph.ops.activation import apply_activation
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr
from edged.graph.ops.weighted import (
    add_bias,
    centred,
    exact_matmul,
    float_result,
    hybrid_weights,
    integer,
    is_hybrid,
    quantise_rows,
    requantise,
    scales_of,
)
from edged.graph.sparse import dense

Shapes = Sequence[Shape | None]


def infer_fully_connected(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, weights = shapes[0], shapes[1]
    if source is None or weights is None:
        return [None]
    if len(weights) != 2:
        raise ShapeError(f"{node.where}: the weights must have 2 dimensions, they have shape {weights}")
    outputs, depth = weights
    if depth == 0 or prod(source) % depth:
        raise ShapeError(f"{node.where}: an input of shape {source} does not split into rows of {depth}")
    if attr(node, "keep_num_dims", False):
        if source[-1] != depth:
            raise ShapeError(f"{node.where}: the last dimension is {source[-1]}, the weights take {depth}")
        return [(*source[:-1], outputs)]
    return [(prod(source) // depth, outputs)]


def fully_connected(node: Node, arrays: Arrays) -> Sequence[Array]:
    """Input (..., depth), weights (outputs, depth), bias (outputs).

    The output keeps the input's dimensions on request. Shuffled weights have the input's shuffled bytes as a
    second output, TFLite's workspace, which nothing reads: it comes back as zeros.
    """
    x, stored = arrays[0], arrays[1]
    assert x is not None
    assert stored is not None
    weights = dense(node.input(1), stored)
    bias = arrays[2] if len(arrays) > 2 else None
    (shape,) = infer_fully_connected(node, [x.shape, weights.shape], lambda _i: None)
    assert shape is not None
    rows = x.reshape(-1, weights.shape[1])
    if attr(node, "weights_format", "DEFAULT") != "DEFAULT":
        outputs = _shuffled(node, rows, weights, bias).reshape(shape)
        return [outputs, *(np.zeros(t.shape, str(t.dtype)) for t in node.outputs[1:])]
    return [_product(node, rows, weights, bias).reshape(shape)]


def _product(node: Node, rows: Array, weights: Array, bias: Array | None) -> Array:
    if integer(node):
        total = exact_matmul(centred(node.input(0), rows), centred(node.input(1), weights).T)
        return requantise(node, add_bias(total, bias), len(weights))
    if is_hybrid(node):
        return _hybrid(node, rows, weights, bias)
    total = rows.astype(np.float64) @ weights.astype(np.float64).T
    return float_result(node, total if bias is None else total + bias)


def _shuffled(node: Node, rows: Array, weights: Array, bias: Array | None) -> Array:
    """Weights in blocks of 4 rows x 16 columns with the sign bit flipped; zero points 128; int16 output."""
    outputs, depth = weights.shape
    if outputs % 4 or depth % 16:
        raise ShapeError(
            f"{node.where}: shuffled weights come in blocks of 4 x 16, not as {outputs} x {depth}"
        )
    blocks = weights.view(np.int8).reshape(outputs // 4, depth // 16, 4, 16)
    plain = blocks.transpose(0, 2, 1, 3).reshape(outputs, depth)
    total = exact_matmul((rows ^ np.uint8(0x80)).view(np.int8), plain.T)
    return requantise(node, add_bias(total, bias), outputs)


def _hybrid(node: Node, rows: Array, weights: Array, bias: Array | None) -> Array:
    """Every row quantised by itself, symmetrically unless the file asks otherwise; all activations apply."""
    quantization = node.input(1).quantization
    if quantization is not None and quantization.block_size:
        real = _blockwise(node, rows, weights, quantization)
    else:
        values, scales, zeros = quantise_rows(rows, _asymmetric(node, weights))
        total = exact_matmul(values - zeros[:, None], hybrid_weights(weights).T)
        real = total.astype(np.float32) * (scales[:, None] * scales_of(quantization, len(weights)))
    real = real if bias is None else real + bias
    return apply_activation(real.astype(np.float32), attr(node, "fused_activation_function", "NONE"))


def _asymmetric(node: Node, weights: Array) -> bool:
    """LiteRT's int4 kernel (4 outputs or more, an even depth of 32 or more) is always symmetric."""
    outputs, depth = weights.shape
    int4_kernel = node.input(1).dtype is DType.INT4 and outputs >= 4 and depth >= 32 and depth % 2 == 0
    return bool(attr(node, "asymmetric_quantize_inputs", False)) and not int4_kernel


def _blockwise(node: Node, rows: Array, weights: Array, quantization: Quantization) -> Array:
    """Weights with one scale for every block of columns; rows are quantised asymmetrically.

    Source: EvalBlockwise4Bit of TFLite's fully_connected.cc.
    """
    outputs, depth = weights.shape
    size, scales = quantization.block_size, quantization.block_scales
    if scales is None or not scales.constant or depth % size or quantization.block_zero_points is not None:
        raise UnsupportedError(
            f"{node.where}: blocks of {size} need constant scales, no zero points, to divide {depth} columns"
        )
    blocks = depth // size
    factors = constant(scales).astype(np.float32).reshape(outputs, blocks)
    values, row_scales, zeros = quantise_rows(rows, True)
    centre = (values - zeros[:, None]).reshape(len(rows), blocks, size)
    total = np.einsum("rbk,obk->rob", centre, hybrid_weights(weights).reshape(outputs, blocks, size))
    real: Array = ((total * factors).sum(axis=2) * row_scales[:, None]).astype(np.float32)
    return real


def _macs(_node: Node, ins: Shapes, _outs: Shapes) -> int:
    source, weights = ins[0], ins[1]
    assert source is not None
    assert weights is not None
    return prod(source) * weights[0]


OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "fully_connected",
        infer_fully_connected,
        fully_connected,
        {
            "fused_activation_function": "NONE",
            "weights_format": "DEFAULT",
            "keep_num_dims": False,
            "asymmetric_quantize_inputs": False,
            "quantized_bias_type": "FLOAT32",
        },
        (2, 3),
        (1, 2),
        macs=_macs,
    ),
)
