"""Small models made in a line or two, for tests of single operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edged.graph.arrays import numpy_dtype, to_bytes
from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor

Array = np.ndarray[Any, np.dtype[Any]]
Described = Tensor | tuple[Any, ...] | None
"""A tensor, or (dtype, shape[, quantization[, data]]), or None for an absent optional input."""


def quant(scale: float | Sequence[float] | Array, zero_point: int = 0, axis: int = 0) -> Quantization:
    """Per tensor for one scale, per channel along `axis` for several; scales are rounded to float32."""
    scales = np.atleast_1d(np.asarray(scale, np.float32))
    return Quantization(tuple(float(s) for s in scales), (zero_point,) * len(scales), axis)


def tensor(
    dtype: DType | str,
    shape: Sequence[int],
    quantization: Quantization | None = None,
    data: Array | None = None,
    *,
    name: str = "",
    variable: bool = False,
) -> Tensor:
    """A tensor, constant when `data` is given."""
    kind = DType(dtype)
    stored = None if data is None else memoryview(to_bytes(kind, data))
    return Tensor(name, kind, tuple(shape), None, quantization, stored, variable)


def constant(dtype: DType | str, data: Array, quantization: Quantization | None = None) -> Tensor:
    """A constant of the shape of its data."""
    return tensor(dtype, data.shape, quantization, data)


def one_op(
    kind: str,
    inputs: Sequence[Described],
    outputs: Sequence[Described],
    attrs: Mapping[str, Any] | None = None,
    *,
    version: int = 1,
    options: bytes = b"",
    intermediates: Sequence[Described] = (),
) -> Model:
    """A model of one node. `kind` is the builtin's name, or `custom:CODE`.

    Inputs that are neither constant nor variable are the model's inputs, in order.
    """
    ins = [_named(t, f"input{i}") for i, t in enumerate(inputs)]
    outs = [_named(t, f"output{i}") for i, t in enumerate(outputs)]
    between = [_named(t, f"between{i}") for i, t in enumerate(intermediates)]
    op, _, code = kind.partition(":")
    node = Node(
        op, tuple(ins), tuple(t for t in outs if t is not None), dict(attrs or {}), version, code, options,
        intermediates=tuple(t for t in between if t is not None),
    )  # fmt: skip
    entry = dict.fromkeys(t for t in ins if t is not None and not t.constant and not t.variable)
    return Model((Graph("main", tuple(entry), node.outputs, (node,)),))


def _named(described: Described, name: str) -> Tensor | None:
    if described is None:
        return None
    made = described if isinstance(described, Tensor) else tensor(*described)
    if made.name:
        return made
    return Tensor(
        name, made.dtype, made.shape, made.signature, made.quantization, made.data, made.variable,
        made.sparsity, made.rank_known,
    )  # fmt: skip


def random_array(rng: np.random.Generator, dtype: DType | str, shape: Sequence[int]) -> Array:
    """Values over the whole range of an integer dtype; floats of a normal distribution."""
    kind = DType(dtype)
    if kind.is_float:
        return rng.normal(size=tuple(shape)).astype(numpy_dtype(kind))
    if kind is DType.BOOL:
        return rng.integers(0, 2, tuple(shape)).astype(bool)
    low, high = 0, 1 << min(kind.bits, 62)
    if not kind.startswith("uint"):
        low, high = -(high >> 1), high >> 1
    return rng.integers(low, high, tuple(shape)).astype(numpy_dtype(kind))


def random_weights(rng: np.random.Generator, dtype: DType | str, shape: Sequence[int]) -> Array:
    """Values of a symmetrically quantised constant: the least integer never occurs.

    (LiteRT's SSE kernels take the absolute value of hybrid weights in their own width, and get -128 wrong.)
    """
    least = -(1 << (DType(dtype).bits - 1))
    values = random_array(rng, dtype, shape)
    if DType(dtype) is DType.UINT8:
        return np.where(values == 128, np.uint8(129), values)
    return np.maximum(values, least + 1)
