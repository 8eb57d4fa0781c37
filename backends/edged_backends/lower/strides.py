"""Geometry of data movement: NumPy views of imaginary arrays -> parameters of the strided kernels. No rule
stands here.

A tensor is imagined as an array that is never touched; slicing, transposing and reshaping it as NumPy does
gives a view whose offset and strides are what the `move` kernel needs. So a rule reads like the op's
definition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import Tensor
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.operands import Ref

RANK = 6
"""Dimensions of the move kernel."""
SIZES = (1, 2, 4, 8, 16)
"""Element sizes that it copies at once."""
SPLIT_BYTES = 1 << 16
"""A plain copy longer than this is cut into units, so that threads can share it."""


def item_bytes(tensor: Tensor) -> int:
    """Bytes of one element; RefusedError for packed 4- and 2-bit elements."""
    if tensor.dtype.bits < 8:
        raise RefusedError(f"{tensor.name}: elements of {tensor.dtype} share bytes or have no fixed size")
    return tensor.dtype.bits // 8


def imagine(tensor: Tensor, shape: Sequence[int] | None = None) -> Array:
    """An array in the tensor's shape (or `shape`) and element size, whose memory is never touched."""
    return np.empty(tuple(tensor.shape if shape is None else shape), dtype=f"V{item_bytes(tensor)}")


def move(lowering: Lowering, to: Ref, target: Array, source_ref: Ref, source: Array, why: str = "") -> None:
    """A step that copies view `source` of one imagined array to view `target` of another; same shape.

    RefusedError when the movement has more than RANK dimensions that cannot be merged.
    """
    if target.shape != source.shape:
        raise ValueError(f"views of shape {target.shape} and {source.shape}")
    if target.size == 0:
        return
    dims = _merged(target, source)
    size = target.dtype.itemsize
    if dims and dims[-1].target == size == dims[-1].source:
        dims, size = _widened(dims, size)
    dims = _ordered(dims, size)
    if len(dims) > RANK:
        raise RefusedError(f"a movement over {len(dims)} dimensions; the kernel has {RANK}")
    first, rest = (dims[0], dims[1:]) if len(dims) > 1 else (_ONE, dims)
    dims = [first, *[_ONE] * (RANK - 1 - len(rest)), *rest]
    params = {f"n{i}": d.count for i, d in enumerate(dims)}
    params.update({f"s{i}": d.source for i, d in enumerate(dims)})
    params.update({f"d{i}": d.target for i, d in enumerate(dims)})
    params.update(source=_offset(source), target=_offset(target), size=size)
    lowering.step("move", params, [to, source_ref], units=first.count, why=why)


def run(view: Array) -> tuple[int, int] | None:
    """(byte offset, bytes) of a view that lies in one piece, else None."""
    return (_offset(view), view.nbytes) if view.flags.c_contiguous else None


def fill(lowering: Lowering, to: Ref, value: Ref, size: int, why: str = "") -> None:
    """A step that sets every element of `to` to the one at `value`."""
    lowering.step("fill", {"size": size}, [to, value], units=to.nbytes // size, why=why)


def broadcast_dims(
    output: Sequence[int], inputs: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Merged dimensions of a broadcast: (elements per dimension, element strides per input per dimension).

    Adjacent dimensions merge where no input breaks between them.
    """
    views = [np.broadcast_to(np.empty(tuple(shape), np.int8), tuple(output)) for shape in inputs]
    dims: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for axis, n in enumerate(output):
        if n == 1:
            continue
        steps = [view.strides[axis] for view in views]
        if dims and all(s[-1] == step * n for s, step in zip(strides, steps, strict=True)):
            dims[-1] *= n
            for s, step in zip(strides, steps, strict=True):
                s[-1] = step
            continue
        dims.append(n)
        for s, step in zip(strides, steps, strict=True):
            s.append(step)
    return dims or [1], strides if dims else [[0] for _ in views]


@dataclass(frozen=True, slots=True)
class _Dim:
    count: int
    target: int
    source: int


_ONE = _Dim(1, 0, 0)


def _offset(view: Array) -> int:
    owner: Any = view.base if view.base is not None else view
    return int(view.__array_interface__["data"][0]) - int(owner.__array_interface__["data"][0])


def _merged(target: Array, source: Array) -> list[_Dim]:
    dims: list[_Dim] = []
    for n, to, from_ in zip(target.shape, target.strides, source.strides, strict=True):
        if n == 1:
            continue
        if dims and dims[-1].target == to * n and dims[-1].source == from_ * n:
            dims[-1] = _Dim(dims[-1].count * n, to, from_)
        else:
            dims.append(_Dim(n, to, from_))
    return dims


def _widened(dims: list[_Dim], size: int) -> tuple[list[_Dim], int]:
    """The contiguous innermost dimension as one wider element, or as a run of bytes."""
    run = dims[-1].count * size
    if run in SIZES:
        return dims[:-1], run
    if len(dims) == 1:
        for pieces in (8, 4, 2):
            if run >= SPLIT_BYTES and run % pieces == 0:
                return [_Dim(pieces, run // pieces, run // pieces), _Dim(run // pieces, 1, 1)], 1
    return [*dims[:-1], _Dim(run, 1, 1)], 1


def _ordered(dims: list[_Dim], size: int) -> list[_Dim]:
    """A short innermost loop over single elements changes places with the one around it."""
    if (
        len(dims) < 2
        or (dims[-1].target == size == dims[-1].source)
        or dims[-1].count > 4
        or dims[-2].count <= dims[-1].count
    ):
        return dims
    return [*dims[:-2], dims[-1], dims[-2]]
