"""Real models through a real daemon and real client processes' eyes: the same bytes as in process, and streams that do not mix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edged.config import Config
from edged.graph.evaluate import Evaluation
from edged.runtime.house import Call, House, seeded
from edged.source import file_source, read_model
from support.daemon import RunningDaemon, running

SERVED = {
    "ad01": "mlperf_tiny/ad01_int8", "ic": "mlperf_tiny/ic_pretrainedResnet_int8", "kws": "mlperf_tiny/kws_ref_model_int8",
    "vww": "mlperf_tiny/vww_96_int8", "kws_f32": "mlperf_tiny/kws_ref_model_fp32", "vww_f32": "mlperf_tiny/vww_96_fp32",
    "mobilenet_v1": "vision/mobilenet_v1_0.25_224_quant", "mobilenet_v2": "vision/mobilenet_v2_1.0_224_quant",
    "ssd": "vision/coco_ssd_mobilenet_v1_1.0_quant", "face": "vision/face_detection_short_range",
    "wake_word": "audio/mww_alexa_v2_stream",
}  # fmt: skip


@pytest.fixture(scope="module")
def daemon(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    config = "".join(f'[[model]]\nname = "{n}"\npath = "{models / f}.tflite"\n' for n, f in SERVED.items())
    with running(tmp_path_factory.mktemp("daemon"), config) as found:
        yield found


@pytest.mark.parametrize("name", [n for n in SERVED if n != "wake_word"])
def test_same_bytes_as_in_process(daemon: RunningDaemon, models: Path, name: str) -> None:
    house = House(Config(), only=["cpu"])
    with daemon.connect() as client:
        call = Call(house, house.load(name, file_source(models / f"{SERVED[name]}.tflite")))
        model = client.open(name, slots=3)
        rounds = [seeded(call.loaded.graph.inputs, seed) for seed in range(3)]
        expected = [call(inputs) for inputs in rounds]
        pending = [model.submit(inputs) for inputs in rounds]
        for wanted, answer in zip(expected, pending, strict=True):
            outputs = answer.result(30)
            assert list(outputs) == list(wanted)
            for key, array in wanted.items():
                np.testing.assert_array_equal(outputs[key], array)
    house.close()


def test_every_session_has_its_own_stream(daemon: RunningDaemon, models: Path) -> None:
    """Two clients of a streaming model, turn and turn about; a reset starts over."""
    source = read_model(models / f"{SERVED['wake_word']}.tflite")
    rng = np.random.default_rng(1)
    frames = rng.integers(-128, 128, (2, 40, *source.main.inputs[0].shape)).astype(np.int8)
    alone = [
        [next(iter(e.run([f]).values())) for f in stream]
        for e, stream in ((Evaluation(source), s) for s in frames)
    ]
    with daemon.connect() as one, daemon.connect() as two:
        sessions = [one.open("wake_word"), two.open("wake_word")]
        for step in range(40):
            for session, stream, wanted in zip(sessions, frames, alone, strict=True):
                np.testing.assert_array_equal(session(stream[step])[0], wanted[step])
        sessions[0].reset()
        for step in range(10):
            np.testing.assert_array_equal(sessions[0](frames[0][step])[0], alone[0][step])
