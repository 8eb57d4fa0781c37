"""Where the inputs of LSTM operators lie, and the walk over time that their float and integer cells share.

Gates are numbered as TFLite has them: input, forget, cell, output. A CIFG layer has no input gate: it takes
1 - forget for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from edged.errors import ShapeError
from edged.graph.model import Node, Shape
from edged.graph.ops.spec import Array, Arrays

INPUT, FORGET, CELL, OUTPUT = range(4)


@dataclass(frozen=True, slots=True)
class Layout:
    """Indices of a cell's inputs; those of four consecutive gates are given by the first (`inputs` is the
    input gate's, `inputs + 1` the forget gate's ...). None: the operator has no such inputs."""

    inputs: int
    recurrent: int
    peephole: int
    bias: int
    projection: int
    output_state: int
    cell_state: int
    norm: int | None = None
    auxiliary: int | None = None

    def peephole_of(self, gate: int) -> int | None:
        """The cell gate looks at no cell state."""
        return None if gate == CELL else self.peephole + min(gate, 2)


FULL = Layout(1, 5, 9, 12, 16, 18, 19, norm=20)
FORWARD = Layout(1, 5, 9, 12, 16, 35, 36, auxiliary=40)
BACKWARD = Layout(18, 22, 26, 29, 33, 37, 38, auxiliary=44)

Step = Callable[[Array, Array | None, Array, Array], tuple[Array, Array]]
"""(input, auxiliary input, output state, cell state), all (batch, n) -> new states."""


def at(arrays: Arrays, index: int | None) -> Array | None:
    """An optional input; None where it is absent."""
    return None if index is None or index >= len(arrays) else arrays[index]


def required(arrays: Arrays, index: int) -> Array:
    array = arrays[index]
    assert array is not None
    return array


def walk(
    step: Step, x: Array, extra: Array | None, states: tuple[Array, Array], backward: bool = False
) -> tuple[Array, Array, Array]:
    """Inputs (time, batch, depth) -> outputs (time, batch, units), output state, cell state.

    States keep their shapes; an output is the output state after its step.
    """
    batch = x.shape[1]
    output, cell = (s.reshape(batch, -1) for s in states)
    outputs = np.empty((len(x), *output.shape), output.dtype)
    for t in range(len(x))[::-1] if backward else range(len(x)):
        output, cell = step(x[t], None if extra is None else extra[t], output, cell)
        outputs[t] = output
    return outputs, output.reshape(states[0].shape), cell.reshape(states[1].shape)


def infer_units(node: Node, shapes: Sequence[Shape | None], layout: Layout) -> tuple[Shape, int] | None:
    """(shape of the input, units of the output); None where they are not known yet."""
    source, forget = shapes[0], shapes[layout.inputs + FORGET]
    recurrent = shapes[layout.recurrent + FORGET]
    if source is None or forget is None or recurrent is None:
        return None
    if len(forget) != 2 or len(source) < 2 or source[-1] != forget[1]:
        raise ShapeError(f"{node.where}: an input of shape {source} does not fit weights of shape {forget}")
    projection = at_shape(shapes, layout.projection)
    if projection is not None:
        return source, projection[0]
    return source, recurrent[1] if len(recurrent) == 2 else recurrent[0]


def at_shape(shapes: Sequence[Shape | None], index: int) -> Shape | None:
    return shapes[index] if index < len(shapes) else None


def macs(_node: Node, ins: Sequence[Shape | None], _outs: Sequence[Shape | None]) -> int:
    """Every matrix once for every input vector; states are matrices of the batch, and not counted."""
    source = ins[0]
    assert source is not None
    states = {18, 19} if len(ins) <= 24 else {35, 36, 37, 38, 39}
    weights = [s for i, s in enumerate(ins) if i and i not in states and s is not None and len(s) == 2]
    return prod(source[:-1]) * sum(map(prod, weights))
