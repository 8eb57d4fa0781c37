"""What one operator is: the row of the op table.

Every file of this package ends in `OPS: tuple[OpSpec, ...]`; `edged.graph.ops` joins them into one table. An
op's attributes have the names and defaults of schema.fbs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edged.graph.model import Node, Shape, Tensor

Array = np.ndarray[Any, np.dtype[Any]]
Arrays = Sequence[Array | None]
Value = Callable[[int], Array | None]
"""Value(i): the constant value of a node's input i, or None when it is only known at run time."""

Infer = Callable[[Node, Sequence[Shape | None], Value], Sequence[Shape | None]]
"""Shapes of the inputs (None: absent, or not known before the run) -> shapes of the outputs (None: known only
at run time).

Raises ShapeError where they do not fit."""

Reference = Callable[[Node, Arrays], Sequence[Array]]
"""Input arrays (None for an absent optional one) -> output arrays.

Shapes come from the arrays, not from the tensors, so that resized inputs work; quantisation and dtypes come
from the node's tensors. Packed 4-bit and 2-bit tensors arrive as int8 arrays with one element each. Never
writes to an input. A stateful op gets its variable inputs' values as arrays, and returns its outputs followed
by the new values of its variable inputs, in input order."""

Memory = Callable[[Node, Arrays], Sequence[Array]]
"""Input arrays -> what the op remembers before its first run, where no tensor shows it: arrays whose shapes
stay from run to run. Its reference gets them behind the inputs, and returns the new ones behind the
outputs."""

Macs = Callable[[Node, Sequence[Shape | None], Sequence[Shape | None]], int]
"""Input and output shapes -> multiply-accumulates of one run."""


@dataclass(frozen=True, slots=True)
class OpSpec:
    """`inputs` and `outputs` are (least, most); most None means any number."""

    name: str
    infer: Infer
    reference: Reference
    attrs: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[int, int | None] = (1, 1)
    outputs: tuple[int, int | None] = (1, 1)
    macs: Macs | None = None
    stateful: bool = False
    memory: Memory | None = None


def attr(node: Node, name: str, default: Any) -> Any:
    """The node's attribute, or the schema's default where a file leaves it out."""
    return node.attrs.get(name, default)


def quantised(tensor: Tensor) -> bool:
    """True for an integer tensor with a scale: the op is to be computed in integers."""
    return tensor.quantization is not None and bool(tensor.quantization.scales) and not tensor.dtype.is_float
