"""Every model file that is here, and every operator, as C for this machine under the sanitizers: the reference's bytes (floats: close), or a refusal that
names what no board can do."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.backend import Subgraph
from edged.errors import BackendError, EdgedError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu.codegen import generate
from support import typical, typical_layers
from support.c_on_host import Array, HostProgram

REFUSALS = (
    r"operator \d+ CUSTOM:\S+: there is no kernel for this op, and it has no reference semantics either",
    r"operator \d+ \w+ cannot be generated as C: the size of a tensor is known only in a run",
    r"operator \d+ UNIQUE cannot be generated as C: there is no kernel for this op",
)
MOST_BYTES = 20_000_000


def compare(found: list[list[bytes]], wanted: list[list[Array]], what: str, tolerance: float = 1e-3) -> None:
    """Bytes, or floats that are close."""
    for call, wants in zip(found, wanted, strict=True):
        for raw, want in zip(call, wants, strict=True):
            if want.dtype.kind == "f":
                np.testing.assert_allclose(np.frombuffer(raw, want.dtype).reshape(want.shape), want, tolerance, tolerance, err_msg=what)
            else:
                assert raw == want.tobytes(), what


def outcome(file: Path, folder: Path) -> str:
    """ "equal", or why not."""
    try:
        source = tflite.read(file.read_bytes())
        model = optimise(source)
        made = generate(Subgraph(model.main, model), "generic", "net")
    except BackendError as error:
        if not any(re.match(known, str(error)) for known in REFUSALS):
            raise
        return "refused"
    except EdgedError:
        return "not read"
    calls = [seeded(source.main.inputs, run) for run in range(3)]
    evaluation = Evaluation(source)
    try:
        wanted = [list(evaluation.run(call).values()) for call in calls]
    except EdgedError:
        return "inputs that the reference refuses"
    program = HostProgram(made, folder, model.main.inputs, model.main.outputs)
    compare(program.run(calls), wanted, file.name)
    return "equal"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_model_that_is_here(models: Path, tmp_path: Path) -> None:
    files = sorted(f for f in models.rglob("*.tflite") if f.stat().st_size < MOST_BYTES)
    found = Counter(outcome(file, tmp_path / str(i)) for i, file in enumerate(files))
    print(dict(found))
    assert found["equal"] > 0.8 * len(files)


@pytest.mark.parametrize("name", ["ops/coral_split_concat", "tflm/audio_preprocessor_int8", "tflm/keras_lstm_mnist_ptq"])
def test_some_models(models: Path, name: str, tmp_path: Path) -> None:
    assert outcome(models / f"{name}.tflite", tmp_path) == "equal"


def cases() -> list[Any]:
    tables = (typical.elementwise, typical.reductions, typical.recurrent, *typical_layers.TABLES)
    rows = [case for table in tables for case in table()]
    marks = [() if i % 60 == 0 else (pytest.mark.long,) for i in range(len(rows))]
    return [pytest.param(case, id=case.name, marks=marks) for case, marks in zip(rows, marks, strict=True)]


@pytest.mark.parametrize("case", cases())
def test_a_typical_node(case: Any, tmp_path: Path) -> None:
    """Of every operator and dtype (tests/support/typical.py); one in sixty in the ordinary run."""
    rng = np.random.default_rng(1)
    source = case.make(rng)
    calls = [case.inputs(rng, source) for _ in range(2)]
    model = optimise(source)
    made = generate(Subgraph(model.main, model), "generic", "net")
    program, evaluation = HostProgram(made, tmp_path, model.main.inputs, model.main.outputs), Evaluation(source)
    wanted = [list(evaluation.run(call).values()) for call in calls]
    compare(program.run(calls), wanted, case.name, 2e-2 if "x int8" in case.name else 1e-4)  # (hybrid: activations are rounded to int8)
