"""Every real model against its oracle, by the reference and by the C kernels. `python tests/conformance/suite.py` prints the table."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.suite import by_backend, by_reference, rows
from edged.errors import ModelError
from edged.formats import tflite
from edged.graph.verify import verify

LEAST = 150
"""Files that must be settled by an oracle; the rest are refused with a reason."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_every_model(models: Path, backend: str) -> None:
    run = by_reference if backend == "reference" else by_backend(backend)
    found = list(rows(models, run))
    wrong = [r for r in found if r.verdict == "WRONG"]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(r.verdict != "refused" for r in found) >= LEAST
    assert all(r.note for r in found if r.verdict == "refused")


def test_invalid_files_are_refused_with_a_reason(models: Path) -> None:
    for path in sorted((models / "invalid").glob("*.tflite")):
        with pytest.raises(ModelError, match=r"\w+ \w+ \w+"):
            verify(tflite.read(path.read_bytes(), name=path.name))
