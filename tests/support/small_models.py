"""Small models of our own for tests that are not about operators."""

from __future__ import annotations

import numpy as np

from edged.graph.arrays import to_bytes
from edged.graph.model import DType, Graph, Model, Node, Quantization, Signature, Tensor

_Q = Quantization((0.05,), (0,))


def constant(name: str, array: np.ndarray, dtype: DType, quantization: Quantization | None = None) -> Tensor:
    """A constant tensor."""
    return Tensor(
        name, dtype, array.shape, quantization=quantization, data=memoryview(to_bytes(dtype, array))
    )


def chain(layers: int = 3, width: int = 8, seed: int = 0, name: str = "x") -> Model:
    """int8 fully connected layers, one behind the other; symbolic batch, one signature."""
    rng = np.random.default_rng(seed)
    tensor = first = Tensor(name, DType.INT8, (1, width), (-1, width), _Q)
    nodes = []
    for index in range(layers):
        weights = constant(
            f"w{index}", rng.integers(-127, 128, (width, width)), DType.INT8, Quantization((0.01,), (0,))
        )
        bias = constant(f"b{index}", rng.integers(-99, 99, width), DType.INT32)
        result = Tensor(f"t{index}", DType.INT8, (1, width), (-1, width), _Q)
        attrs = {"fused_activation_function": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
        nodes.append(
            Node(
                "fully_connected",
                (tensor, weights, bias),
                (result,),
                attrs,
                origin=f"operator {index} FULLY_CONNECTED",
            )
        )
        tensor = result
    graph = Graph("main", (first,), (tensor,), tuple(nodes))
    return Model((graph,), (Signature("serving_default", 0, {"x": first}, {"y": tensor}),))


def mixed(seed: int = 0) -> Model:
    """A pooling node between two fully connected ones: what a device that refuses pooling must hand over."""
    rng = np.random.default_rng(seed)
    source = Tensor("x", DType.INT8, (1, 4, 4, 2), quantization=_Q)
    pooled = Tensor("pooled", DType.INT8, (1, 2, 2, 2), quantization=_Q)
    last = Tensor("y", DType.INT8, (1, 5), quantization=_Q)
    weights = constant("w", rng.integers(-127, 128, (5, 8)), DType.INT8, Quantization((0.01,), (0,)))
    pool = {"padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}
    nodes = (
        Node(
            "average_pool_2d",
            (source,),
            (pooled,),
            {**pool, "fused_activation_function": "NONE"},
            origin="operator 0",
        ),
        Node(
            "fully_connected",
            (pooled, weights),
            (last,),
            {"fused_activation_function": "NONE"},
            origin="operator 1",
        ),
    )
    return Model((Graph("main", (source,), (last,), nodes),))
