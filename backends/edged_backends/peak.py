"""What this machine's best kernels reach: a large matrix product that stays in the cache, in int8 and in f32.

`edged bench` states a model's rate as a share of it. It is the rate of our own kernel, not of the silicon.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np

from edged.backend import Delegate, PrepareContext, RunContext, Subgraph
from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor
from edged_backends.packing import aligned

ROWS, DEPTH, CHANNELS = 192, 512, 512
RUNS = 7

Prepare = Callable[[PrepareContext, Subgraph], Delegate]


def product(dtype: DType) -> Model:
    """[ROWS, DEPTH] x [DEPTH, CHANNELS] as a 1x1 convolution."""
    quantised = dtype is DType.INT8

    def q(*scales: float) -> Quantization | None:
        return Quantization(scales, (0,) * len(scales)) if quantised else None

    def constant(name: str, array: np.ndarray[Any, Any], quantization: Quantization | None) -> Tensor:
        data = memoryview(array.tobytes())
        return Tensor(name, DType(str(array.dtype)), array.shape, quantization=quantization, data=data)

    rng = np.random.default_rng(0)
    weights = rng.integers(-9, 10, (CHANNELS, 1, 1, DEPTH)).astype(str(dtype))
    bias = np.zeros(CHANNELS, np.int32 if quantised else np.float32)
    x = Tensor("x", dtype, (1, ROWS, 1, DEPTH), quantization=q(0.1))
    y = Tensor("y", dtype, (1, ROWS, 1, CHANNELS), quantization=q(1.0))
    inputs = (x, constant("w", weights, q(*(0.1,) * CHANNELS)), constant("b", bias, q(0.01)))
    attrs = {"padding": "VALID", "stride_w": 1, "stride_h": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
    return Model((Graph("product", (x,), (y,), (Node("conv_2d", inputs, (y,), attrs),)),))


def measure(prepare: Prepare, dtype: DType, threads: int) -> float:
    """GMAC/s of the best of a few runs."""
    model = product(dtype)
    delegate = prepare(PrepareContext(threads=threads), Subgraph(model.main, model))
    ins, outs = ([aligned(t.nbytes).data for t in side] for side in (delegate.inputs, delegate.outputs))
    for view in ins:
        view[:] = bytes(view.nbytes)
    taken = []
    for _ in range(RUNS):
        start = perf_counter_ns()
        delegate.run(RunContext(), ins, outs)
        taken.append(perf_counter_ns() - start)
    delegate.close()
    return ROWS * DEPTH * CHANNELS / min(taken)
