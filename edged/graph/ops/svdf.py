"""SVDF: a rank-`rank` filter over the last `memory` inputs, with its state; float32, hybrid, int8.

Inputs: input (batch, depth), feature weights (filters, depth), time weights (filters, memory), bias (units)
or none, state (batch, memory * filters), variable. filters = units * rank. The results are the output
(batch, units) and the new state. Integers: time weights and state are int16, or, as only TFLite Micro has it,
int8. In integers the fused activation is the clamp to int8, as in TFLite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape, Tensor
from edged.graph.ops import fixedpoint as fp
from edged.graph.ops.activation import apply_activation
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value, attr, quantised
from edged.graph.ops.weighted import (
    centred,
    exact_matmul,
    hybrid_weights,
    quantise_rows,
    scales_of,
    zero_point,
)

Shapes = Sequence[Shape | None]


def infer_svdf(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    source, feature, rank = shapes[0], shapes[1], attr(node, "rank", 0)
    if source is None or feature is None:
        return [None]
    if len(source) != 2 or len(feature) != 2 or source[1] != feature[1]:
        raise ShapeError(f"{node.where}: an input of shape {source} does not fit weights of shape {feature}")
    if rank < 1 or feature[0] % rank:
        raise ShapeError(f"{node.where}: {feature[0]} filters do not split into units of rank {rank}")
    return [(source[0], feature[0] // rank)]


def svdf(node: Node, arrays: Arrays) -> Sequence[Array]:
    """One step: the state moves by one, the newest entry is input times feature weights."""
    x, feature, time, bias, state = arrays[0], arrays[1], arrays[2], arrays[3], arrays[4]
    assert x is not None
    assert feature is not None
    assert time is not None
    assert state is not None
    history = state.reshape(len(x), len(feature), time.shape[1])
    if quantised(node.input(0)) and quantised(node.outputs[0]):
        newest = _integer_features(node, x, feature, state.dtype)
    else:
        newest = _float_features(node, x, feature)
    moved = np.concatenate([history[:, :, 1:], newest[:, :, None].astype(state.dtype)], axis=2)
    finish = _integer_output if quantised(node.outputs[0]) else _float_output
    return [finish(node, moved, time, bias), moved.reshape(state.shape)]


def _float_features(node: Node, x: Array, feature: Array) -> Array:
    if feature.dtype.kind == "f":
        return x.astype(np.float64) @ feature.astype(np.float64).T
    values, scales, zeros = quantise_rows(x, attr(node, "asymmetric_quantize_inputs", False))
    total = exact_matmul(values - zeros[:, None], hybrid_weights(feature).T)
    real: Array = total.astype(np.float32) * (scales[:, None] * scales_of(node.input(1).quantization, 1))
    return real


def _float_output(node: Node, moved: Array, time: Array, bias: Array | None) -> Array:
    weights = time.astype(np.float64)
    if time.dtype.kind != "f":
        weights = (time.astype(np.float32) * scales_of(node.input(2).quantization, 1)).astype(np.float64)
    total = _summed(node, (moved * weights).sum(axis=2))
    real = (total if bias is None else total + bias).astype(np.float32)
    return apply_activation(real, attr(node, "fused_activation_function", "NONE"))


def _summed(node: Node, values: Array) -> Array:
    """(batch, units * rank) -> (batch, units)."""
    rank = int(attr(node, "rank", 1))
    total: Array = values.reshape(len(values), -1, rank).sum(axis=2)
    return total


def _scale(tensor: Tensor) -> np.float32:
    assert tensor.quantization is not None
    return np.float32(tensor.quantization.scale)


def _integer_features(node: Node, x: Array, feature: Array, kind: np.dtype[np.generic]) -> Array:
    state = node.input(4)
    effective = _scale(node.input(0)) * _scale(node.input(1)) / _scale(state)
    multiplier, shift = fp.quantize_multiplier(float(effective))
    total = exact_matmul(centred(node.input(0), x), feature.T)
    scaled = fp.multiply_by_quantized_multiplier(total, multiplier, shift)
    low, high = fp.integer_range(str(kind))
    return np.clip(scaled, low, high) + zero_point(state)


def _integer_output(node: Node, moved: Array, time: Array, bias: Array | None) -> Array:
    result = node.outputs[0]
    effective = _scale(node.input(4)) * _scale(node.input(2)) / _scale(result)
    multiplier, shift = fp.quantize_multiplier(float(effective))
    centre = moved.astype(np.int64) - zero_point(node.input(4))
    total = _summed(node, (centre * time.astype(np.int64)).sum(axis=2))
    total = total if bias is None else total + bias.astype(np.int64)
    scaled = fp.multiply_by_quantized_multiplier(total, multiplier, shift) + zero_point(result)
    stored: Array = np.clip(scaled, *fp.integer_range(str(result.dtype))).astype(str(result.dtype))
    return stored


def _macs(_node: Node, ins: Shapes, _outs: Shapes) -> int:
    source, feature, time = ins[0], ins[1], ins[2]
    assert source is not None
    assert feature is not None
    assert time is not None
    return source[0] * feature[0] * (feature[1] + time[1])


OPS: tuple[OpSpec, ...] = (
    OpSpec(
        "svdf",
        infer_svdf,
        svdf,
        {"rank": 0, "fused_activation_function": "NONE", "asymmetric_quantize_inputs": False},
        (5, 5),
        macs=_macs,
        stateful=True,
    ),
)
