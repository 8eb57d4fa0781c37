"""Tuning: every option of every layer is measured, and the next load chooses by the times."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.backend import PrepareContext, Subgraph
from edged.graph.model import DType, Node
from edged_backends import assemble
from edged_backends.choices import Option
from edged_backends.cpu import CpuBackend
from edged_backends.lowering import Lowering
from edged_backends.records import load
from support.networks import tower


@pytest.fixture
def two_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Max pooling in one go, or (estimated to be faster, and never so) the same step many times."""
    once = assemble.rules()["max_pool_2d"]

    def either(lo: Lowering, node: Node) -> str | None:
        key = f"pool {node.input(0).shape}"
        made = lo.choose(key, [Option("once", 500.0), Option("often", 100.0)])
        reason = None
        for _ in range(1 if made.chosen == "once" else 200):
            reason = reason or once(lo, node)
        return reason

    monkeypatch.setattr(assemble, "rules", lambda: {"max_pool_2d": either})
    monkeypatch.setattr(assemble, "groups", lambda: ())


def test_measured_times_overrule_estimates(two_ways: None, tmp_path: Path) -> None:
    backend, model = CpuBackend(), tower(DType.FLOAT32)
    subgraph, ctx = Subgraph(model.main, model), PrepareContext(cache_dir=str(tmp_path))
    assert [c.chosen for c in backend.prepare(ctx, subgraph).program.choices] == ["often", "often"]
    layers = backend.tune(ctx, subgraph)
    assert [(layer.where, layer.estimated, layer.best) for layer in layers] == [
        ("operator 1 MAX_POOL_2D", "often", "once"),
        ("operator 3 MAX_POOL_2D", "often", "once"),
    ]
    assert all(set(layer.times) == {"once", "often"} for layer in layers)
    assert [c.chosen for c in backend.prepare(ctx, subgraph).program.choices] == ["once", "once"]
    assert set(load(str(tmp_path), backend.kernels)) == {"pool (1, 8, 8, 5)", "pool (1, 4, 4, 4)"}


def test_a_model_without_a_choice_leaves_no_file(tmp_path: Path) -> None:
    model = tower(DType.FLOAT32)
    last = model.main.nodes[-1]
    graph = type(model.main)("pool", (last.input(0),), last.outputs, (last,))
    assert CpuBackend().tune(PrepareContext(cache_dir=str(tmp_path)), Subgraph(graph, model)) == []
    assert list(tmp_path.iterdir()) == []
