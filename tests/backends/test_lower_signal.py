"""The audio front end through the kernels, call after call, against the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.formats.tflite import read
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned
from support import signal_models as models_of
from support.build import random_array

Rng = np.random.Generator
MAKERS = [
    models_of.window, models_of.auto_scale, models_of.rfft("int16"), models_of.energy, models_of.filter_bank,
    models_of.square_root, models_of.subtraction, models_of.pcan, models_of.logarithm,
]  # fmt: skip


def calls_agree(model: Model, rng: Rng, count: int) -> None:
    evaluation = Evaluation(model)
    delegate = CpuBackend(threads=1).prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    assert not delegate.program.fallbacks, delegate.explain()
    for _ in range(count):
        arrays = [random_array(rng, t.dtype, t.shape) >> int(rng.integers(0, 15)) for t in model.main.inputs]
        wanted = list(evaluation.run(arrays).values())
        given = []
        for array in arrays:
            raw = aligned(array.nbytes)
            raw[:] = np.frombuffer(array.tobytes(), np.uint8)
            given.append(raw.data)
        outs = [aligned(want.nbytes) for want in wanted]
        delegate.run(RunContext(), given, [out.data for out in outs])
        for out, want in zip(outs, wanted, strict=True):
            np.testing.assert_array_equal(np.frombuffer(out.tobytes(), want.dtype).reshape(want.shape), want)


@pytest.mark.parametrize("make", MAKERS)
def test_equals_the_reference(make: Callable[[Rng], Model]) -> None:
    for seed in range(12):
        rng = np.random.default_rng(seed)
        calls_agree(make(rng), rng, 3)


def test_a_real_front_end_runs_in_kernels(models: Path) -> None:
    """Micro speech's preprocessor: ten calls with the noise estimates that the ones before left."""
    model = optimise(read(memoryview((models / "tflm" / "audio_preprocessor_int8.tflite").read_bytes())))
    calls_agree(model, np.random.default_rng(0), 10)
