"""Sparse embedding lookups against LiteRT."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from edged.errors import ModelError
from edged.graph.evaluate import evaluate_node
from edged.graph.model import Model
from support.agreement import COUNTS, check
from support.build import constant, one_op


def lookup_model(rng: np.random.Generator, combiner: str) -> Model:
    rows, width, depth, buckets = (
        int(rng.integers(low, high)) for low, high in ((1, 8), (1, 6), (1, 5), (1, 5))
    )
    cells = [(r, c) for r in range(buckets) for c in range(width)]
    chosen = sorted(rng.choice(len(cells), int(rng.integers(1, len(cells) + 1)), replace=False).tolist())
    indices = np.array([cells[i] for i in chosen], np.int32)
    inputs = [
        constant("int32", rng.integers(0, rows, len(chosen)).astype(np.int32)),
        constant("int32", indices),
        constant("int32", np.array([buckets, width], np.int32)),
        constant("float32", rng.uniform(0.1, 2, len(chosen))),
        ("float32", (rows, depth)),
    ]
    return one_op("embedding_lookup_sparse", inputs, [("float32", (buckets, depth))], {"combiner": combiner})


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("combiner", ["SUM", "MEAN", "SQRTN"])
def test_as_litert(combiner: str, count: int) -> None:
    make = partial(lookup_model, combiner=combiner)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        model = make(rng)
        check(model, [[rng.normal(size=model.main.inputs[0].shape).astype(np.float32)]], atol=1e-5)


def test_ids_beyond_the_rows_are_refused() -> None:
    node = lookup_model(np.random.default_rng(0), "SUM").main.nodes[0]
    one, cell = np.array([7], np.int32), np.zeros((1, 2), np.int32)
    arrays = [one, cell, np.array([1, 1], np.int32), np.ones(1, np.float32), np.ones((7, 2), np.float32)]
    with pytest.raises(ModelError, match="there are 7 rows"):
        evaluate_node(node, arrays)
