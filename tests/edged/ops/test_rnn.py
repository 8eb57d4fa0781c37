"""Simple recurrent layers with their states over several calls, against LiteRT."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from edged.graph.ops import table
from support.agreement import COUNTS, property_test
from support.rnn_models import both_ways, one_step, sequence

Rng = np.random.Generator
MANY = pytest.mark.parametrize("count", COUNTS)
TIGHT, LOOSE = {"rtol": 1e-4, "atol": 1e-4}, {"rtol": 2e-2, "atol": 2e-2}
"""Hybrid states are quantised anew in every step: a value on the border of two may fall on either side."""
KINDS = pytest.mark.parametrize(("hybrid", "asymmetric"), [(False, False), (True, False), (True, True)])


@MANY
@KINDS
@pytest.mark.parametrize("make", [one_step, sequence])
def test_one_way(make: Any, hybrid: bool, asymmetric: bool, count: int) -> None:
    limits = LOOSE if hybrid else TIGHT
    property_test(partial(make, hybrid=hybrid, asymmetric=asymmetric), count, calls=2, **limits)


@MANY
@pytest.mark.parametrize(
    ("auxiliary", "hybrid"),
    [("none", False), ("none", True), ("weighted", False), ("weighted", True), ("linked", False)],
)
@pytest.mark.parametrize("asymmetric", [False, True])
def test_both_ways(auxiliary: str, hybrid: bool, asymmetric: bool, count: int) -> None:
    make = partial(both_ways, hybrid=hybrid, asymmetric=asymmetric, auxiliary=auxiliary)
    property_test(make, count, calls=2, **(LOOSE if hybrid else TIGHT))


@pytest.mark.parametrize("make", [one_step, sequence, partial(both_ways, auxiliary="none")])
def test_inferred_shapes_are_the_outputs(make: Any) -> None:
    for seed in range(10):
        node = make(np.random.default_rng(seed), hybrid=False, asymmetric=False).main.nodes[0]
        shapes = [None if t is None else t.shape for t in node.inputs]
        inferred = table()[node.op].infer(node, shapes, lambda _i: None)
        assert list(inferred) == [t.shape for t in node.outputs]
