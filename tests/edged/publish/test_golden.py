"""Golden cases hold what the model answers, in the order that devices read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.demo import FOLDER
from edged.graph.evaluate import Evaluation
from edged.publish import golden
from edged.publish.errors import GoldenError
from edged.source import read_model

INT8, FLOAT = FOLDER / "digits_int8.tflite", FOLDER / "digits_float.tflite"
CASE = 64 + 10
"""Bytes of one case of the int8 model."""


def test_case_after_case_inputs_then_outputs() -> None:
    model = read_model(INT8)
    found = golden.record(model, cases=3, seed=5)
    assert (found.cases, len(found.data), found.tolerance) == (3, 3 * CASE, 0.0)
    evaluation = Evaluation(model)
    for case in range(3):
        raw = np.frombuffer(found.data[case * CASE :][:CASE], np.int8)
        (answer,) = evaluation.run([raw[:64].reshape(1, 8, 8, 1)]).values()
        assert (answer.reshape(-1) == raw[64:]).all()


def test_the_same_seed_draws_the_same_cases() -> None:
    model = read_model(INT8)
    assert golden.record(model, seed=1) == golden.record(model, seed=1)
    assert golden.record(model, seed=1).data != golden.record(model, seed=2).data


def test_floats_may_differ_a_little_and_integers_not_at_all() -> None:
    assert golden.record(read_model(INT8)).tolerance == 0.0
    assert golden.record(read_model(FLOAT)).tolerance == pytest.approx(1e-3)
    assert golden.record(read_model(FLOAT), tolerance=0.5).tolerance == 0.5


def test_own_inputs_come_as_one_case_or_a_stack() -> None:
    model = read_model(INT8)
    scans = np.random.default_rng(0).integers(-128, 128, (6, 8, 8, 1)).astype(np.int8)
    stacked = golden.record(model, inputs={"image": scans})
    assert stacked.cases == 6
    assert golden.record(model, inputs={"image": scans[:, None]}).data == stacked.data
    assert golden.record(model, inputs={"image": scans[:1]}).data == stacked.data[:CASE]


def test_own_outputs_are_taken_as_they_are() -> None:
    image, answer = np.zeros((1, 8, 8, 1), np.int8), np.full((1, 10), 7, np.int8)
    found = golden.record(read_model(INT8), inputs={"image": image}, outputs={"probabilities": answer})
    assert found.data[64:] == bytes([7] * 10)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"picture": np.zeros((1, 8, 8, 1), np.int8)}, "call them image"),
        ({"image": np.zeros((1, 8, 8, 1), np.float32)}, "the model takes int8"),
        ({"image": np.zeros((1, 9, 8, 1), np.int8)}, r"shape \(1, 9, 8, 1\)"),
        ({"image": np.zeros((0, 8, 8, 1), np.int8)}, "0 golden cases"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(GoldenError, match=words):
        golden.record(read_model(INT8), inputs=inputs)


def test_a_model_that_the_reference_cannot_run_asks_for_its_outputs(models: Path) -> None:
    path = next((models / "edgetpu").glob("*.tflite"))
    with pytest.raises(GoldenError, match=r"--outputs OUT\.npz"):
        golden.record(read_model(path))
