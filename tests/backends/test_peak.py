"""The measured peak: positive, for both kinds, and lower without vector kernels."""

from __future__ import annotations

import pytest

from edged.graph.model import DType
from edged_backends.cpu import CpuBackend
from edged_backends.peak import CHANNELS, DEPTH, ROWS, measure, product


def test_both_kinds_are_measured() -> None:
    peak = CpuBackend().peak(1)
    assert set(peak) == {"int8", "float32"}
    assert all(rate > 0 for rate in peak.values())


@pytest.mark.parametrize("dtype", [DType.INT8, DType.FLOAT32])
def test_the_product_is_what_is_counted(dtype: DType) -> None:
    (node,) = product(dtype).main.nodes
    assert node.outputs[0].elements * node.input(1).shape[-1] == ROWS * DEPTH * CHANNELS


def test_vector_kernels_count() -> None:
    if not CpuBackend().kernels.present:
        pytest.skip("this CPU has only the scalar kernels")
    scalar = CpuBackend(arch_mask="none")
    assert measure(scalar.prepare, DType.INT8, 1) < CpuBackend().peak(1)["int8"]
