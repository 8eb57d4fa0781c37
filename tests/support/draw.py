"""Random shapes, quantisations and one-op models, drawn from a seeded generator, and how to hold them against an oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edged.graph.arrays import constant
from edged.graph.model import Model, Quantization
from edged.graph.ops import table
from support.agreement import Calls, check, random_inputs
from support.build import quant
from support.oracle import litert_calls, tflm_calls

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

ROUNDS = pytest.mark.parametrize("rounds", [3, pytest.param(60, marks=pytest.mark.long)])
"""How many random cases of each kind: a few in `make test`, many in `make test-long`."""

ORACLES: dict[str, Calls] = {"litert": litert_calls, "tflm": tflm_calls}


def shape(rng: np.random.Generator, least: int = 1, most: int = 4, size: int = 9) -> Shape:
    """Between `least` and `most` dimensions, of 1 ... `size`."""
    return tuple(int(d) for d in rng.integers(1, size + 1, rng.integers(least, most + 1)))


def broadcasting(rng: np.random.Generator, size: int = 6) -> tuple[Shape, Shape, Shape]:
    """Two shapes that broadcast, and the one they broadcast to; some are equal, some of lower rank."""
    full = shape(rng, 1, 4, size)
    keep_first, keep_second = rng.random(len(full)) < 0.75, rng.random(len(full)) < 0.75
    same = rng.random() < 0.4
    first = tuple(d if k or same else 1 for d, k in zip(full, keep_first, strict=True))
    second = tuple(d if k or same else 1 for d, k in zip(full, keep_second, strict=True))
    cut = int(rng.integers(0, len(full))) if rng.random() < 0.3 else 0
    if rng.random() < 0.5:
        first = first[cut:]
    else:
        second = second[cut:]
    return first, second, np.broadcast_shapes(first, second)


def quantisation(rng: np.random.Generator, dtype: str, low: float = -3.0, high: float = -1.0) -> Quantization:
    """A scale of 10**low ... 10**high and a zero point anywhere in an 8-bit dtype, 0 in a wider one."""
    point = 0
    if dtype in ("int8", "uint8"):
        info = np.iinfo(dtype)
        point = int(rng.integers(info.min, info.max + 1))
    return quant(10 ** rng.uniform(low, high), point)


def agree(model: Model, inputs: Sequence[Array], oracle: str = "litert", **tolerance: float) -> None:
    """Our outputs equal the oracle's, and have the shapes that inference promised."""
    check(model, [inputs], oracle=ORACLES[oracle], **tolerance)
    (node,) = model.main.nodes

    def value(index: int) -> Array | None:
        tensor = node.inputs[index]
        return constant(tensor) if tensor is not None and tensor.constant else None

    inferred = table()[node.kind].infer(node, [t.shape for t in node.inputs if t is not None], value)
    for tensor, found in zip(node.outputs, inferred, strict=True):
        assert found is None or tuple(found) == tensor.shape


def agree_randomly(rng: np.random.Generator, model: Model, oracle: str = "litert") -> None:
    """`agree` on inputs over the whole range of their dtypes."""
    agree(model, random_inputs(rng, model), oracle)
