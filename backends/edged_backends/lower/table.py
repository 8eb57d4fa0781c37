"""Tables of 8- and 16-bit functions: what an op's reference gives for every possible input, computed once
at load.

No rule stands here. Any op of one quantised tensor (the others constant scalars) becomes a `lut` step and
is exact by construction."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import numpy as np

from edged.errors import InputError
from edged.graph.arrays import Array, constant
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops import table
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.operands import Ref

_RANGES: dict[DType, Array] = {
    DType.INT8: np.arange(256, dtype=np.uint8).view(np.int8), DType.UINT8: np.arange(256, dtype=np.uint8),
    DType.BOOL: np.arange(256, dtype=np.uint8) != 0, DType.INT16: np.arange(65536,
    dtype=np.uint16).view(np.int16),
}  # fmt: skip
LUT_BITS = {8: "lut_s8", 16: "lut_s16"}


def lut(lowering: Lowering, node: Node, index: int = 0, why: str = "") -> None:
    """A step that computes `node` by table from its input `index`; the other inputs are constants.

    RefusedError when input and output have not the same 8 or 16 bits, or the op has no reference.
    """
    source, output = node.input(index), node.outputs[0]
    bits = source.dtype.bits
    if source.dtype not in _RANGES or output.dtype.bits != bits:
        raise RefusedError(f"no table from {source.dtype} to {output.dtype}")
    made = lowering.const(byte_table(lowering, node, index), _key(node, index))
    lowering.step(
        LUT_BITS[bits],
        {},
        [lowering.ref(output), lowering.ref(source), made],
        units=output.elements,
        why=why or "table",
        inplace=1,
    )


def byte_table(lowering: Lowering, node: Node, index: int) -> Array:
    """The op's value for every bit pattern of its input `index`, in internal form on both sides."""
    spec = table().get(node.kind)
    if spec is None:
        raise RefusedError("the op has no reference to make a table from")
    source, output = node.input(index), node.outputs[0]
    values = _RANGES[source.dtype]
    if lowering.is_shifted(source):
        values = values ^ np.uint8(0x80)
    others = [None if t is None or i == index else constant(t) for i, t in enumerate(node.inputs)]

    rank = max((t.ndim for t in others if t is not None), default=1)

    def function(stored: Array) -> Array:
        stored = stored.reshape((1,) * (rank - 1) + (-1,))  # some ops want it no smaller than the others
        (made,) = spec.reference(node, [stored if i == index else t for i, t in enumerate(others)])
        return made.reshape(-1)

    result = _where_defined(function, values)
    return result ^ np.uint8(0x80) if lowering.is_shifted(output) else result


def _where_defined(function: Callable[[Array], Array], values: Array) -> Array:
    """`function` of all values; those that it refuses (a square root what is below zero, a quotient a divisor
    of zero) take the result of the next larger one that it accepts: a program cannot refuse an input."""
    try:
        return function(values)
    except InputError:
        pass
    ordered = np.unique(values)
    accepted = _each(function, ordered) if len(ordered) <= 256 else _upper(function, ordered)
    return function(accepted[np.minimum(np.searchsorted(accepted, values), len(accepted) - 1)])


def _each(function: Callable[[Array], Array], ordered: Array) -> Array:
    """The values that are accepted, asked one by one."""

    def takes(at: int) -> bool:
        try:
            function(ordered[at : at + 1])
        except InputError:
            return False
        return True

    return ordered[[at for at in range(len(ordered)) if takes(at)]]


def _upper(function: Callable[[Array], Array], ordered: Array) -> Array:
    """The values that are accepted, where they are all from some value on: there are too many to ask each."""
    refused, accepted = 0, len(ordered) - 1
    function(ordered[accepted:])
    while accepted - refused > 1:
        middle = (refused + accepted) // 2
        try:
            function(ordered[middle : middle + 1])
            accepted = middle
        except InputError:
            refused = middle
    return ordered[accepted:]


def rescale(lowering: Lowering, node: Node, tensor: Tensor, output: Tensor) -> Ref:
    """Where the value of `tensor` is in the quantisation of `output`: itself, or a temporary that `node`'s
    op makes of it alone.

    For ops that take any number of inputs and rescale each on its own (concatenation).
    """
    mine, other = lowering.internal(tensor), lowering.internal(output)
    if (
        not mine.scales
        or not other.scales
        or (mine.scales, mine.zero_points) == (other.scales, other.zero_points)
    ):
        return lowering.ref(tensor)
    if tensor.dtype.bits != 8:
        raise RefusedError(f"{tensor.name} has another scale than {output.name}")
    alone = replace(node, inputs=(tensor,), outputs=(output,), attrs={**node.attrs, "axis": 0})
    made = lowering.const(byte_table(lowering, alone, 0), _key(alone, 0))
    turned = lowering.temp(tensor.nbytes)
    lowering.step(
        "lut_s8",
        {},
        [turned, lowering.ref(tensor), made],
        units=tensor.elements,
        why=f"{tensor.name} to the scale of {output.name}",
    )
    return turned


def _key(node: Node, index: int) -> Hashable:
    def quant(tensor: Tensor) -> Hashable:
        q = tensor.quantization
        return (tensor.dtype, (q.scales, q.zero_points) if q is not None else None)

    constants: Sequence[Hashable] = [
        bytes(t.data)
        for i, t in enumerate(node.inputs)
        if i != index and t is not None and t.data is not None
    ]
    others = [quant(t) for t in node.inputs if t is not None]
    return (
        "lut",
        node.kind,
        index,
        tuple(sorted((k, str(v)) for k, v in node.attrs.items())),
        quant(node.outputs[0]),
        *others,
        *constants,
    )
