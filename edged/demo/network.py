"""A small convolutional network in NumPy, forward and backward: what the demo model is trained with.

Not a training framework: four layers, Adam, and nothing that the digits do not need. Images are (N, H, W, C)
float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def patches(x: Array, stride: int) -> Array:
    """3x3 patches with SAME padding (TFLite's): (N, H', W', 9 * C)."""
    size = x.shape[1]
    out = -(-size // stride)
    total = max((out - 1) * stride + 3 - size, 0)
    padded = np.pad(x, ((0, 0), (total // 2, total - total // 2), (total // 2, total - total // 2), (0, 0)))
    views = [
        padded[:, r : r + (out - 1) * stride + 1 : stride, c : c + (out - 1) * stride + 1 : stride]
        for r in range(3)
        for c in range(3)
    ]
    return np.concatenate(views, axis=3)


def unpatch(grad: Array, shape: tuple[int, ...], stride: int) -> Array:
    """The transpose of `patches`: adds every patch's gradient back to where it was taken from."""
    count, size, _, channels = shape
    out = grad.shape[1]
    total = max((out - 1) * stride + 3 - size, 0)
    padded = np.zeros((count, size + total, size + total, channels))
    for index in range(9):
        r, c = divmod(index, 3)
        part = grad[..., index * channels : (index + 1) * channels]
        padded[:, r : r + (out - 1) * stride + 1 : stride, c : c + (out - 1) * stride + 1 : stride] += part
    low = total // 2
    return padded[:, low : low + size, low : low + size]


@dataclass
class Layer:
    """Weights (inputs, outputs) and bias of a convolution (`stride` > 0) or a fully connected layer (`stride`
    0)."""

    weights: Array
    bias: Array
    stride: int
    relu: bool
    columns: Array = field(default_factory=lambda: np.empty(0))
    before: Array = field(default_factory=lambda: np.empty(0))
    source: tuple[int, ...] = ()

    def forward(self, x: Array) -> Array:
        self.source = x.shape
        self.columns = patches(x, self.stride) if self.stride else x.reshape(len(x), -1)
        self.before = self.columns @ self.weights + self.bias
        return np.maximum(self.before, 0) if self.relu else self.before

    def backward(self, grad: Array) -> tuple[Array, Array, Array]:
        """Gradient of the output -> (of weights, of bias, of the input)."""
        if self.relu:
            grad = grad * (self.before > 0)
        flat, columns = grad.reshape(-1, grad.shape[-1]), self.columns.reshape(-1, self.columns.shape[-1])
        back = grad @ self.weights.T
        back = unpatch(back, self.source, self.stride) if self.stride else back.reshape(self.source)
        return columns.T @ flat, flat.sum(axis=0), back


def new_network(rng: np.random.Generator) -> list[Layer]:
    """conv 3x3x16, conv 3x3x32 /2, conv 3x3x32 /2, fully connected to 10 classes; He initialisation."""

    def layer(inputs: int, outputs: int, stride: int, relu: bool = True) -> Layer:
        weights = rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)
        return Layer(weights, np.zeros(outputs), stride, relu)

    return [layer(9, 16, 1), layer(144, 32, 2), layer(288, 32, 2), layer(128, 10, 0, relu=False)]


def forward(network: list[Layer], x: Array) -> list[Array]:
    """The output of every layer."""
    outputs = []
    for layer in network:
        x = layer.forward(x)
        outputs.append(x)
    return outputs


class Adam:
    """Adam (Kingma and Ba 2014) over all parameters of a network."""

    def __init__(self, network: list[Layer]) -> None:
        self.parameters = [p for layer in network for p in (layer.weights, layer.bias)]
        self.mean = [np.zeros_like(p) for p in self.parameters]
        self.square = [np.zeros_like(p) for p in self.parameters]
        self.time = 0

    def step(self, gradients: list[Array], rate: float) -> None:
        self.time += 1
        for p, g, m, v in zip(self.parameters, gradients, self.mean, self.square, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * (m / (1 - 0.9**self.time)) / (np.sqrt(v / (1 - 0.999**self.time)) + 1e-8)


def train_step(network: list[Layer], adam: Adam, x: Array, labels: Array, rate: float) -> float:
    """One step on softmax cross-entropy; returns the mean loss."""
    logits = forward(network, x)[-1]
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = float(-np.log(probabilities[rows, labels] + 1e-12).mean())
    grad = probabilities
    grad[rows, labels] -= 1
    grad /= len(x)
    gradients: list[Array] = []
    for layer in reversed(network):
        weights, bias, grad = layer.backward(grad)
        gradients[:0] = [weights + 1e-4 * layer.weights, bias]
    adam.step(gradients, rate)
    return loss
