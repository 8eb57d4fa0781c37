"""Random stacks of convolutions, depthwise ones and pools, with a residual here and there: what a microcontroller's networks are made of."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor
from support.networks import constant

ZEROS = {DType.INT8: -3, DType.UINT8: 120, DType.INT16: 0, DType.FLOAT32: None}
SCALES = {DType.INT8: 0.1, DType.UINT8: 0.1, DType.INT16: 0.001}


class Stack:
    """Adds layers on the last value; `nodes` and `last` are the result."""

    def __init__(self, seed: int, dtype: DType, images: int = 1) -> None:
        self.rng, self.numbers, self.dtype = random.Random(seed), np.random.default_rng(seed), dtype
        self.nodes: list[Node] = []
        self.first = self.last = self.activation((images, self.rng.randrange(4, 14), self.rng.randrange(3, 12), self.rng.choice((1, 3, 4, 8, 10, 17))))

    def activation(self, shape: tuple[int, ...]) -> Tensor:
        zero = ZEROS[self.dtype]
        quantization = None if zero is None else Quantization((SCALES[self.dtype] * self.rng.uniform(0.7, 1.5),), (zero,))
        return Tensor(f"v{len(self.nodes)}", self.dtype, shape, quantization=quantization)

    def weights(self, shape: tuple[int, ...], axis: int) -> tuple[Tensor, Tensor]:
        """Weights and bias, scaled per channel, which is the axis `axis`."""
        count = shape[axis]
        if self.dtype is DType.FLOAT32:
            w = constant("w", self.numbers.standard_normal(shape).astype(np.float32) / 4)
            return w, constant("b", self.numbers.standard_normal(count).astype(np.float32))
        if self.dtype is DType.UINT8:
            w = constant("w", self.numbers.integers(0, 256, shape).astype(np.uint8), Quantization((0.01,), (131,)))
            return w, constant("b", self.numbers.integers(-300, 300, count).astype(np.int32))
        scales = tuple(float(np.float32(s)) for s in self.numbers.uniform(0.005, 0.02, count))
        w = constant("w", self.numbers.integers(-127, 128, shape).astype(np.int8), Quantization(scales, (0,) * count, axis))
        wide = np.int64 if self.dtype is DType.INT16 else np.int32
        return w, constant("b", self.numbers.integers(-300, 300, count).astype(wide))

    def add(self, op: str, inputs: tuple[Tensor, ...], shape: tuple[int, ...], attrs: dict[str, Any]) -> None:
        made = self.activation(shape)
        if "pool" in op:
            made = Tensor(made.name, made.dtype, made.shape, quantization=inputs[0].quantization)
        self.nodes.append(Node(op, inputs, (made,), attrs, origin=f"operator {len(self.nodes)} {op.upper()}"))
        self.last = made

    def geometry(self, size: int) -> tuple[dict[str, Any], tuple[int, int]]:
        """Attributes of a window of at most `size`, and the output's height and width."""
        _, high, wide, _ = self.last.shape
        kernel = self.rng.randrange(1, min(size, high) + 1), self.rng.randrange(1, min(size, wide) + 1)
        stride, padding = self.rng.choice((1, 1, 2)), self.rng.choice(("SAME", "VALID"))
        attrs = {"padding": padding, "stride_h": stride, "stride_w": stride, "fused_activation_function": self.rng.choice(("NONE", "RELU"))}
        return {**attrs, "kernel": kernel}, self.output(padding, stride, kernel)

    def output(self, padding: str, stride: int, reach: tuple[int, int]) -> tuple[int, int]:
        """Height and width behind a window that reaches so far."""
        _, high, wide, _ = self.last.shape
        if padding == "SAME":
            return -(-high // stride), -(-wide // stride)
        return (high - reach[0]) // stride + 1, (wide - reach[1]) // stride + 1

    def dilated(self, attrs: dict[str, Any], out: tuple[int, int]) -> tuple[dict[str, Any], tuple[int, int]]:
        """Now and then with taps two apart, where the window stays within the input."""
        kernel = attrs["kernel"]
        reach = 2 * kernel[0] - 1, 2 * kernel[1] - 1
        apart = attrs["stride_h"] == 1 and reach[0] <= self.last.shape[1] and reach[1] <= self.last.shape[2] and self.rng.random() < 0.3
        attrs |= {"dilation_w_factor": 1 + apart, "dilation_h_factor": 1 + apart}
        return attrs, self.output(attrs["padding"], 1, reach) if apart else out

    def conv_2d(self) -> None:
        attrs, out = self.dilated(*self.geometry(4))
        images, _, _, inside = self.last.shape
        outside = self.rng.choice((1, 2, 5, 8, 12, 19, inside))
        kernel = attrs.pop("kernel")
        if self.rng.random() < 0.5:
            kernel = 1, 1
            attrs |= {"stride_h": 1, "stride_w": 1, "dilation_w_factor": 1, "dilation_h_factor": 1}
            out = self.last.shape[1], self.last.shape[2]
        w, b = self.weights((outside, *kernel, inside), 0)
        self.add("conv_2d", (self.last, w, b), (images, *out, outside), attrs)

    def depthwise_conv_2d(self) -> None:
        attrs, out = self.dilated(*self.geometry(5))
        images, _, _, inside = self.last.shape
        times = self.rng.choice((1, 1, 1, 2))
        w, b = self.weights((1, *attrs.pop("kernel"), inside * times), 3)
        attrs["depth_multiplier"] = times
        self.add("depthwise_conv_2d", (self.last, w, b), (images, *out, inside * times), attrs)

    def pool(self) -> None:
        attrs, out = self.geometry(3)
        attrs["filter_height"], attrs["filter_width"] = attrs.pop("kernel")
        images, _, _, inside = self.last.shape
        self.add(self.rng.choice(("max_pool_2d", "average_pool_2d")), (self.last,), (images, *out, inside), attrs)

    def fully_connected(self) -> None:
        """Of all that an image has come to."""
        images, depth = self.last.shape[0], int(np.prod(self.last.shape[1:]))
        w, b = self.weights((self.rng.choice((1, 2, 4, 7, 9)), depth), 0)
        attrs = {"fused_activation_function": "NONE", "weights_format": "DEFAULT", "keep_num_dims": False}
        self.add("fully_connected", (self.last, w, b), (images, w.shape[0]), attrs)

    def residual(self) -> None:
        before = [v for node in self.nodes[-3:-1] for v in node.outputs if v.shape == self.last.shape]
        if before and self.rng.random() < 0.5:
            attrs = {"fused_activation_function": "NONE", "pot_scale_int16": False}
            self.add("add", (self.last, self.rng.choice(before)), self.last.shape, attrs)


def stack(seed: int, dtype: DType = DType.INT8, layers: int = 8, images: int = 1) -> Model:
    """`layers` random layers on [images, 4..13, 3..11, 1..17], and a fully connected one."""
    made = Stack(seed, dtype, images)
    for _ in range(layers):
        getattr(made, made.rng.choice(("conv_2d", "conv_2d", "depthwise_conv_2d", "depthwise_conv_2d", "pool", "residual")))()
        made.residual()
    made.fully_connected()
    return Model((Graph("main", (made.first,), (made.last,), tuple(made.nodes)),))
