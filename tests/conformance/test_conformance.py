"""Every real model against its oracle, by the reference and by the C kernels. `python tests/conformance/suite.py` prints the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conformance.samples import SAMPLES, Sample, sound
from conformance.suite import by_backend, by_reference, rows
from edged.errors import ModelError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.verify import verify

LEAST = 150
"""Files that must be settled by an oracle; the rest are refused with a reason."""
ROUGH = {
    "mlperf_tiny/ad01_fp32.tflite",
    "vision/face_detection_short_range.tflite",
    "vision/selfie_segmentation.tflite",
}
"""Deep float networks some of whose small elements are beyond 1e-6 + 1e-5 of themselves. LiteRT's own kernels, with and without
XNNPACK, differ from each other by as much there, since they add up in float32 in other orders."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_every_model(models: Path, backend: str) -> None:
    run = by_reference if backend == "reference" else by_backend(backend)
    found = list(rows(models, run))
    wrong = [r for r in found if r.verdict == "WRONG"]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(r.verdict != "refused" for r in found) >= LEAST
    assert all(r.note for r in found if r.verdict == "refused")
    if backend == "reference":
        assert {r.name for r in found if r.strict > 1} <= ROUGH


def test_invalid_files_are_refused_with_a_reason(models: Path) -> None:
    for path in sorted((models / "invalid").glob("*.tflite")):
        with pytest.raises(ModelError, match=r"\w+ \w+ \w+"):
            verify(tflite.read(path.read_bytes(), name=path.name))


def present(models: Path, name: str) -> Path:
    path = models / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the models here")
    return path


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{Path(s.model).stem}-{Path(s.file).name}")
def test_what_is_in_a_sample(models: Path, sample: Sample) -> None:
    model = tflite.read(present(models, sample.model).read_bytes(), name=sample.model)
    given = sample.read(model.main.inputs[0], present(models, f"samples/{sample.file}"))
    (scores,) = Evaluation(model).run([given]).values()
    best = np.argsort(-scores.reshape(-1).astype(np.float64), kind="stable")[: sample.within]
    assert set(best.tolist()) & set(sample.answers)


@pytest.mark.parametrize(("word", "answer"), [("silence", 0), ("noise", 0), ("yes", 2), ("no", 3)])
def test_a_spoken_word_through_the_front_end_and_the_network(models: Path, word: str, answer: int) -> None:
    """49 windows of 30 ms, 20 ms apart, give the 40 features each that the network was trained on."""
    front, network = (
        Evaluation(tflite.read(present(models, f"tflm/{name}.tflite").read_bytes(), name=name))
        for name in ("audio_preprocessor_int8", "micro_speech_quantized")
    )
    samples = sound(present(models, f"samples/audio/{word}_1000ms.wav"))
    frames = [samples[at : at + 480] for at in range(0, len(samples) - 479, 320)]
    features = [next(iter(front.run([frame[None]]).values())) for frame in frames]
    (scores,) = network.run([np.concatenate(features).reshape(1, 1960)]).values()
    assert int(scores.argmax()) == answer
