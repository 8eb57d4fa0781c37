"""Every model file that is here as C for this machine: the reference's bytes (floats: close), or a refusal that names what no board can do."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edged.backend import Subgraph
from edged.errors import BackendError, EdgedError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu.codegen import generate
from support.c_on_host import HostProgram

REFUSALS = (
    r"operator \d+ CUSTOM:\S+: there is no kernel for this op, and it has no reference semantics either",
    r"operator \d+ \w+ cannot be generated as C: the size of a tensor is known only in a run",
    r"operator \d+ UNIQUE cannot be generated as C: there is no kernel for this op",
)
MOST_BYTES = 20_000_000


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
    program, evaluation = HostProgram(made, folder), Evaluation(source)
    for run in range(3):
        call = seeded(source.main.inputs, run)
        try:
            wanted = list(evaluation.run(call).values())
        except EdgedError:
            return "inputs that the reference refuses"
        for raw, want in zip(program.run(call, model.main.outputs), wanted, strict=True):
            if want.dtype.kind == "f":
                np.testing.assert_allclose(np.frombuffer(raw, want.dtype).reshape(want.shape), want, 1e-3, 1e-3, err_msg=file.name)
            else:
                assert raw == want.tobytes(), file.name
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
