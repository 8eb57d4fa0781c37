"""Random one-op models: whatever LiteRT runs we load and run, with the same shapes, equal integers and close floats."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edged_backends.cpu import CpuBackend
from fuzz.ops_judge import Oracle
from fuzz.ops_makers import MAKERS
from fuzz.ops_survey import make, survey

pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed here")


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    started = Oracle()
    yield started
    started.close()


@pytest.mark.parametrize(
    "count", [pytest.param(6, id="few"), pytest.param(400, id="many", marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
@pytest.mark.parametrize("op", MAKERS)
def test_agrees_with_litert(op: str, count: int, oracle: Oracle) -> None:
    words, findings = survey(op, range(count), oracle, CpuBackend(threads=1))
    told = [f"{v.word} {v.where} seed {seed}: {make(op, seed)}\n{v.note}" for seed, v in findings]
    assert not findings, "\n".join(told[:3])
    assert words["equal"] + words["micro"] >= 1, f"LiteRT runs none of {dict(words)}"
