"""OpenVINO as a backend, on its CPU device: what it computes, what it refuses, how it is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.config import Config, parse
from edged.demo import MODELS, SCANS
from edged.demo.client import as_input
from edged.errors import BackendError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.passes import optimise
from edged.runtime.house import Call, House, seeded
from edged.source import Source
from edged_plugins import openvino as plugin
from support.build import one_op

pytest.importorskip("openvino", reason="OpenVINO is not installed here: pip install 'edged[openvino]'")

from edged_backends.openvino import OpenvinoBackend, fitted


@pytest.fixture(scope="module")
def backend() -> OpenvinoBackend:
    return OpenvinoBackend("CPU")


def real_scans(kind: str) -> list[np.ndarray]:
    with np.load(SCANS) as archive:
        images = archive["images"][:12]
    return (
        list(as_input(images))
        if kind == "int8"
        else [x.reshape(1, 8, 8, 1).astype(np.float32) / 16 for x in images]
    )


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_digits_through_a_house(kind: str) -> None:
    """In a process of its own, all nodes on it; floats are close, integers give the same digits."""
    model = tflite.read(MODELS[kind].read_bytes())
    house = House(Config(), only=["openvino:cpu"])
    try:
        call = Call(house, house.load("m", Source("m", lambda: model)))
        assert [s.device.name for s in call.loaded.steps] == ["openvino:cpu"]
        for x in real_scans(kind):
            (ours,), (theirs,) = Evaluation(model).run([x]).values(), call([x]).values()
            if kind == "float":
                np.testing.assert_allclose(theirs, ours, 1e-4, 1e-5)
            else:
                assert theirs.argmax() == ours.argmax()
                assert np.abs(theirs.astype(int) - ours).max() <= 16  # of 256 for a probability of 1
        call.close()
    finally:
        house.close()


@pytest.mark.parametrize(
    "name",
    [
        "mlperf_tiny/vww_96_fp32.tflite",
        "mlperf_tiny/ad01_fp32.tflite",
        "vision/face_detection_short_range.tflite",
    ],
)
def test_real_float_models(models: Path, backend: OpenvinoBackend, name: str) -> None:
    path = models / name
    if not path.is_file():
        pytest.skip(f"no {name} among the real models")
    model = optimise(tflite.read(path.read_bytes()))
    delegate = backend.prepare(PrepareContext(), Subgraph(model.main, model))
    inputs = seeded(model.main.inputs)
    outputs = [np.zeros(t.shape, str(t.dtype)) for t in model.main.outputs]
    delegate.run(
        RunContext(state=delegate.new_state()),
        [memoryview(x).cast("B") for x in inputs],
        [memoryview(o).cast("B") for o in outputs],
    )
    for ours, theirs in zip(Evaluation(model).run(inputs).values(), outputs, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=2e-4 * max(float(np.abs(ours).max()), 1.0))
    assert delegate.explain()


def test_refusals_have_reasons(backend: OpenvinoBackend) -> None:
    custom = one_op("custom:X", [("float32", (1,))], [("float32", (1,))]).main.nodes[0]
    wide = one_op("add", [("int16", (1,)), ("int16", (1,))], [("int16", (1,))]).main.nodes[0]
    assert "custom:X is not tried on OpenVINO" in backend.supports(custom).reason
    assert "is int16" in backend.supports(wide).reason


def test_a_device_that_is_not_there(backend: OpenvinoBackend) -> None:
    if "NPU" in backend.core.available_devices:
        pytest.skip("this machine has an Intel NPU")
    with pytest.raises(BackendError, match=r"OpenVINO sees no NPU here, only CPU.*driver"):
        OpenvinoBackend("npu")


def test_floats_that_stand_for_integers() -> None:
    np.testing.assert_array_equal(fitted(np.array([-200.0, 1.6, 300.0]), np.dtype(np.int8)), [-128, 2, 127])


def test_registered_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse('[plugins.options.openvino]\ndevices = ["CPU", "NPU"]\n')
    entries = list(plugin.edged_register_backends(config))
    assert [e.name for e in entries] == ["openvino:cpu", "openvino:npu"]
    assert all(e.isolate and e.rank < 0 for e in entries)
    monkeypatch.setattr(plugin, "find_spec", lambda _name: None)
    assert plugin.edged_register_backends(Config()) == []
