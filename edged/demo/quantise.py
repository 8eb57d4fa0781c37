"""The trained network as a graph: in float32, and in int8 by post-training quantisation.

TFLite's int8 scheme: activations per tensor with a zero point, from the range seen on the training scans;
weights symmetric per output channel; bias int32 with scale input * weight; softmax output 1/256.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edged.demo.network import Array, Layer, forward
from edged.graph.arrays import to_bytes
from edged.graph.model import DType, Graph, Model, Node, Quantization, Shape, Signature, Tensor

_CONV = {"padding": "SAME", "dilation_w_factor": 1, "dilation_h_factor": 1}


def _activation(name: str, shape: Shape, quantization: Quantization | None = None) -> Tensor:
    dtype = DType.FLOAT32 if quantization is None else DType.INT8
    return Tensor(name, dtype, shape, signature=(-1, *shape[1:]), quantization=quantization)


def _constant(name: str, array: Array, dtype: DType, quantization: Quantization | None = None) -> Tensor:
    data = memoryview(to_bytes(dtype, array))
    return Tensor(name, dtype, tuple(array.shape), quantization=quantization, data=data)


def _shaped(layer: Layer) -> Array:
    """Weights in TFLite's order: (outputs, 3, 3, inputs) or (outputs, inputs)."""
    weights = layer.weights.T
    return weights.reshape(len(weights), 3, 3, -1) if layer.stride else weights


def _range(values: Array) -> Quantization:
    """int8 quantisation of a range that holds 0, so that 0 is exact."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return Quantization((scale,), (int(np.clip(round(-128 - low / scale), -128, 127)),))


def _weighted(
    index: int, layer: Layer, source: Tensor, result: Tensor, weights: Tensor, bias: Tensor
) -> Node:
    activation = {"fused_activation_function": "RELU" if layer.relu else "NONE"}
    if layer.stride:
        strides = {"stride_w": layer.stride, "stride_h": layer.stride}
        return Node(
            "conv_2d", (source, weights, bias), (result,), {**_CONV, **strides, **activation}, version=3
        )
    options = {"weights_format": "DEFAULT", "keep_num_dims": False}
    return Node("fully_connected", (source, weights, bias), (result,), {**activation, **options}, version=4)


def _assemble(layers: list[Node], source: Tensor, logits: Tensor, quantization: Quantization | None) -> Model:
    result = _activation("probabilities", (1, 10), quantization)
    nodes = [*layers, Node("softmax", (logits,), (result,), {"beta": 1.0}, version=2)]
    graph = Graph("main", (source,), (result,), tuple(nodes))
    signature = Signature("serving_default", 0, {"image": source}, {"probabilities": result})
    return Model(
        (graph,), (signature,), description="edged digits: 8x8 grey scans of handwritten digits, 0..1"
    )


def _flat_shape(layer: Layer, size: int) -> tuple[Shape, int]:
    """Shape of a layer's output for a square input of `size`, and the next size."""
    if not layer.stride:
        return (1, layer.weights.shape[1]), 0
    out = -(-size // layer.stride)
    return (1, out, out, layer.weights.shape[1]), out


def float_model(network: list[Layer]) -> Model:
    """The network with float32 weights."""
    source = tensor = _activation("image", (1, 8, 8, 1))
    nodes, size = [], 8
    for index, layer in enumerate(network):
        shape, size = _flat_shape(layer, size)
        result = _activation(f"layer{index}", shape)
        weights = _constant(f"weights{index}", _shaped(layer).astype(np.float32), DType.FLOAT32)
        bias = _constant(f"bias{index}", layer.bias.astype(np.float32), DType.FLOAT32)
        nodes.append(_weighted(index, layer, tensor, result, weights, bias))
        tensor = result
    return _assemble(nodes, source, tensor, None)


def int8_model(network: list[Layer], calibration: Array) -> Model:
    """The network in int8; activation ranges are those seen on `calibration` images."""
    quantization = Quantization((float(np.float32(1 / 255)),), (-128,))
    source = tensor = _activation("image", (1, 8, 8, 1), quantization)
    nodes, size = [], 8
    for index, (layer, seen) in enumerate(zip(network, forward(network, calibration), strict=True)):
        shape, size = _flat_shape(layer, size)
        result = _activation(f"layer{index}", shape, _range(seen))
        assert tensor.quantization is not None
        weights, bias = _int8_weights(index, layer, tensor.quantization.scale)
        nodes.append(_weighted(index, layer, tensor, result, weights, bias))
        tensor = result
    return _assemble(nodes, source, tensor, Quantization((1 / 256,), (-128,)))


def _int8_weights(index: int, layer: Layer, input_scale: float) -> tuple[Tensor, Tensor]:
    weights = _shaped(layer)
    largest = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    scales = (np.maximum(largest, 1e-6) / 127).astype(np.float32)
    stored = np.clip(np.rint(weights / scales.reshape(-1, *[1] * (weights.ndim - 1))), -127, 127).astype(
        np.int8
    )
    zeros = (0,) * len(scales)
    per_channel = Quantization(tuple(float(s) for s in scales), zeros)
    bias_scales = tuple(float(np.float32(input_scale * s)) for s in scales)
    bias = np.rint(layer.bias / np.array(bias_scales)).astype(np.int32)
    return (
        _constant(f"weights{index}", stored, DType.INT8, per_channel),
        _constant(f"bias{index}", bias, DType.INT32, replace(per_channel, scales=bias_scales)),
    )
