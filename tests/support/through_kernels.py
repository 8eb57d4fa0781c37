"""A pytest plugin: whatever model the operators' tests hold against an oracle also runs on the cpu backend, and must equal the reference.

`pytest -p support.through_kernels tests/edged/ops`. Nodes that fall back are left out: `tests/backends/test_coverage.py` is about those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import support.agreement as agreement
from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import InputError
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned

Array = np.ndarray[Any, np.dtype[Any]]
HYBRID = (1e-2, 2e-2)
"""Activations that are quantised as they come may fall on either side of a step."""


def pytest_configure(config: pytest.Config) -> None:
    """Puts itself behind the comparison with the oracle, before any test imports it."""
    del config
    against_oracle = agreement.check

    def check(model: Model, calls: Sequence[Sequence[Array]], **rest: Any) -> None:
        against_oracle(model, calls, **rest)
        through_kernels(model, calls)

    agreement.check = check


def through_kernels(model: Model, calls: Sequence[Sequence[Array]]) -> None:
    """Every call in turn, with state."""
    delegate = CpuBackend(threads=1).prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    if delegate.program.fallbacks:
        return
    evaluation = Evaluation(model)
    for arrays in calls:
        try:
            wanted = list(evaluation.run(list(arrays)).values())
        except InputError:  # a program gives some value where the reference refuses the input
            return
        outs = [aligned(want.nbytes) for want in wanted]
        delegate.run(RunContext(), [_buffer(array) for array in arrays], [out.data for out in outs])
        for out, want in zip(outs, wanted, strict=True):
            _compare(model, np.frombuffer(out.tobytes(), want.dtype).reshape(want.shape), want)


def _buffer(array: Array) -> memoryview:
    raw = aligned(np.asarray(array).nbytes)
    raw[:] = np.frombuffer(np.asarray(array).tobytes(), np.uint8)
    return raw.data


def _compare(model: Model, got: Array, want: Array) -> None:
    node = model.main.nodes[0]
    where = f"{node.kind} on the cpu backend"
    if want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want, err_msg=where)
        return
    kinds = {t.dtype for t in node.inputs if t is not None and t.constant and len(t.shape) > 1}
    rtol, atol = HYBRID if any(not k.is_float for k in kinds) else (2e-5, 1e-5)
    np.testing.assert_allclose(got, want, rtol, atol, err_msg=where)
