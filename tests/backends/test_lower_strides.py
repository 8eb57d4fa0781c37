"""Geometry of data movement: views become the parameters that the move kernel takes."""

from __future__ import annotations

import numpy as np
import pytest

from edged.graph.model import DType, Tensor
from edged_backends.catalogue import Catalogue
from edged_backends.lower.strides import broadcast_dims, imagine, move
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.program import KernelStep

FIELDS = [(f"{letter}{i}", "i") for letter in "nsd" for i in range(6)]


def lowering() -> Lowering:
    """One that knows the move kernel alone."""
    from edged_backends.catalogue import KernelRow

    layout = [*FIELDS, ("source", "i"), ("target", "i"), ("size", "i")]
    return Lowering(Catalogue([KernelRow(0, 0, "move", "move_scalar")], {"move": layout}, 0))


def moved(target: np.ndarray, source: np.ndarray) -> KernelStep:
    low = lowering()
    move(low, low.temp(1 << 20), target, low.temp(1 << 20), source)
    (step,) = low.steps
    assert isinstance(step, KernelStep)
    return step


def test_a_plain_copy_is_one_run_of_bytes() -> None:
    whole = imagine(Tensor("t", DType.INT32, (2, 3, 5)))
    step = moved(whole, imagine(Tensor("u", DType.INT32, (2, 3, 5))))
    assert (step.units, step.params["n5"], step.params["size"]) == (1, 120, 1)


def test_a_long_copy_is_cut_for_threads() -> None:
    whole = imagine(Tensor("t", DType.INT8, (1 << 17,)))
    step = moved(whole, imagine(Tensor("u", DType.INT8, (1 << 17,))))
    assert (step.units, step.params["n5"]) == (8, 1 << 14)


def test_a_transposition_keeps_its_elements() -> None:
    source = imagine(Tensor("t", DType.FLOAT32, (7, 9)))
    step = moved(imagine(Tensor("u", DType.FLOAT32, (9, 7))), source.T)
    assert step.params["size"] == 4
    assert (step.params["n0"], step.params["s0"], step.params["d0"]) == (9, 4, 28)
    assert (step.params["n5"], step.params["s5"], step.params["d5"]) == (7, 36, 4)


def test_a_reversal_starts_at_the_end() -> None:
    source = imagine(Tensor("t", DType.INT8, (6,)))
    step = moved(imagine(Tensor("u", DType.INT8, (6,))), source[::-1])
    assert step.params["source"] == 5
    assert step.params["s5"] == -1


def test_more_dimensions_than_the_kernel_has_are_refused() -> None:
    shape = (2, 3, 2, 3, 2, 3, 2)
    source = imagine(Tensor("t", DType.INT8, shape)).transpose(6, 5, 4, 3, 2, 1, 0)
    with pytest.raises(RefusedError, match="7 dimensions"):
        moved(imagine(Tensor("u", DType.INT8, source.shape)), source)


def test_broadcast_dimensions_merge_where_they_can() -> None:
    assert broadcast_dims((2, 3, 4), [(2, 3, 4), (2, 3, 4)]) == ([24], [[1], [1]])
    assert broadcast_dims((2, 3, 4), [(2, 3, 4), (4,)]) == ([6, 4], [[4, 1], [0, 1]])
    assert broadcast_dims((1, 1), [(1, 1), (1,)]) == ([1], [[0], [0]])
