"""Which operators fall back to NumPy on the cpu backend: those of one table, with the reason, and no others.

Every typical node (support/typical.py) runs through the kernels and equals the reference, with all instruction sets and with none.
"""

from __future__ import annotations

import numpy as np
import pytest

from edged.backend import PrepareContext, Subgraph
from edged.graph.ops import table
from edged_backends.cpu import CpuBackend
from support import typical, typical_layers
from support.lowered import agree
from support.typical import Case

CASES: list[Case] = [
    case
    for rows in (typical.elementwise, typical.reductions, typical.recurrent, *typical_layers.TABLES)
    for case in rows()
]

MAY_FALL_BACK: dict[str, str] = {}
"""Case -> words of the reason that `edged plan` gives."""

NOT_TYPICAL: dict[str, str] = {
    **dict.fromkeys(("if", "while", "call_once", "stablehlo_composite"), "control: runs graphs, not kernels"),
    **dict.fromkeys(("var_handle", "read_variable", "assign_variable"), "tested in test_control.py: copies of memory"),
    **dict.fromkeys(("where", "unique", "range"), "the output's size is known only at run time"),
    **dict.fromkeys(("real", "imag", "complex_abs"), "complex numbers: no kernel computes with them"),
    "broadcast_args": "shapes as data, folded at load wherever they are known",
    "densify": "folded at load",
    "embedding_lookup_sparse": "no kernel: no model that we know has it",
    **dict.fromkeys(
        ("custom:SignalFramer", "custom:SignalStacker", "custom:SignalDelay", "custom:SignalOverlapAdd"),
        "no kernel: what keeps samples from call to call in queues",
    ),
    "custom:SignalIrfft": "no kernel: no model that we know has it",
    "custom:TFLite_Detection_PostProcess": "tested in test_lower_detection.py",
    "custom:Convolution2DTransposeBias": "tested in test_lower_gemm.py",
}  # fmt: skip
"""Operators without a typical case, and why."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_runs_in_kernels_and_equals_the_reference(case: Case) -> None:
    rng = np.random.default_rng(1)
    model = case.make(rng)
    delegate = CpuBackend(threads=1).prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    reasons = [step.why for step in delegate.program.fallbacks]
    if case.name in MAY_FALL_BACK:
        assert reasons, f"{case.name} does not fall back any more: take it out of MAY_FALL_BACK"
        assert MAY_FALL_BACK[case.name] in reasons[0]
        return
    assert not reasons, f"{case.name} falls back: {reasons}"
    hybrid = "x int8" in case.name
    agree(model, case.inputs(rng, model), masks=("", "none"), rtol=1e-2 if hybrid else 2e-5, atol=2e-2 if hybrid else 2e-5)


def test_every_operator_has_a_case_or_a_reason() -> None:
    covered = {case.kind for case in CASES}
    assert not covered & set(NOT_TYPICAL)
    missing = set(table()) - covered - set(NOT_TYPICAL)
    assert not missing, f"add these to support/typical.py, or to NOT_TYPICAL with the reason: {sorted(missing)}"


def test_the_table_names_cases_that_exist() -> None:
    assert set(MAY_FALL_BACK) <= {case.name for case in CASES}
    assert set(NOT_TYPICAL) <= set(table())
