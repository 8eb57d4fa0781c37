"""The carrier of vendors' delegates, against the simulated NPU: what is tried, what is read back, what is
refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.config import Config, NpuConfig, parse
from edged.demo import MODELS
from edged.errors import BackendError, ConfigError, EdgedError
from edged.formats import tflite
from edged.graph.arrays import constant, to_bytes
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends import npu as room
from edged_backends.litert import make_interpreter
from edged_backends.npu import NpuBackend, device_problem, taken, wanted
from edged_backends.presets import PRESETS, Preset
from edged_plugins import npu as plugin
from support import npu_sim
from support.build import one_op, quant, random_array

SCHEME = quant(0.5)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return npu_sim.build(tmp_path_factory.mktemp("sim"))


def run(backend: NpuBackend, model: Model, inputs: list[np.ndarray]) -> list[bytes]:
    delegate = backend.prepare(PrepareContext(), Subgraph(model.main, model))
    outputs = [bytearray(t.nbytes) for t in model.main.outputs]
    delegate.run(
        RunContext(),
        [memoryview(to_bytes(t.dtype, a)) for t, a in zip(model.main.inputs, inputs, strict=True)],
        [memoryview(o) for o in outputs],
    )
    return [bytes(o) for o in outputs]


def reference(model: Model, inputs: list[np.ndarray]) -> list[bytes]:
    results = Evaluation(model).run(list(inputs)).values()
    return [to_bytes(t.dtype, a) for t, a in zip(model.main.outputs, results, strict=True)]


def digits() -> Model:
    return optimise(tflite.read(MODELS["int8"].read_bytes()))


def test_the_whole_of_digits_in_our_bytes(library: Path) -> None:
    backend, model = NpuBackend(npu_sim.config(library)), digits()
    for seed in range(5):
        inputs = seeded(model.main.inputs, seed)
        assert run(backend, model, inputs) == reference(model, inputs)


@pytest.mark.parametrize(
    "name", ["ad01_int8", "kws_ref_model_int8", "vww_96_int8", "ic_pretrainedResnet_int8"]
)
def test_real_models_in_our_bytes(models: Path, library: Path, name: str) -> None:
    """Every node that it takes, alone; the inputs are those of our own run."""
    model = optimise(tflite.read((models / "mlperf_tiny" / f"{name}.tflite").read_bytes()))
    backend = NpuBackend(npu_sim.config(library))
    evaluation = Evaluation(model)
    values = dict(zip(model.main.inputs, seeded(model.main.inputs), strict=True))
    ran = 0
    for node in model.main.nodes:
        given = [None if t is None else constant(t) if t.constant else values[t] for t in node.inputs]
        results = evaluation.step(node, given)
        values.update(zip(node.outputs, results, strict=True))
        if not backend.supports(node):
            continue
        alone = room.alone(node)
        assert alone.model.main is alone.graph
        assert run(backend, alone.model, [values[t] for t in alone.graph.inputs]) == [
            to_bytes(t.dtype, r) for t, r in zip(node.outputs, results, strict=True)
        ], node.where
        ran += 1
    assert ran >= 8


def test_what_it_does_not_take_is_refused_by_trial(library: Path) -> None:
    backend, model = NpuBackend(npu_sim.config(library)), digits()
    by_op = {n.op: backend.supports(n) for n in model.main.nodes}
    assert by_op["conv_2d"].ok
    assert "tried alone, it stayed with LiteRT" in by_op["softmax"].reason


def test_the_allow_list_comes_before_the_trial(library: Path) -> None:
    backend = NpuBackend(npu_sim.config(library, only=("fully_connected",)))
    assert [n.op for n in digits().main.nodes if backend.supports(n)] == ["fully_connected"]


def test_a_fallback_is_read_back(library: Path) -> None:
    """A subgraph with a node that the delegate leaves to LiteRT says so, node by node."""
    backend, model = NpuBackend(npu_sim.config(library, ops="3")), digits()
    notes: list[str] = []
    delegate = backend.prepare(PrepareContext(log=notes.append), Subgraph(model.main, model))
    left = [n.where for n in model.main.nodes if n.op != "conv_2d"]
    assert list(delegate.fallbacks()) == left
    assert len(notes) == len(left)
    assert sum(line.endswith("on npu:sim") for line in delegate.explain()) == len(model.main.nodes) - len(
        left
    )


def test_reading_back_follows_each_subset(library: Path) -> None:
    """Only fully connected taken: the delegate's one node stands for the last layers, not for the
    convolutions."""
    data = MODELS["int8"].read_bytes()
    model = tflite.read(data)
    backend = NpuBackend(npu_sim.config(library, ops="9"))
    found = taken(backend.interpreter(data, 1), len(model.main.nodes))
    assert {model.main.nodes[i].op for i in found} == {"fully_connected"}
    assert taken(make_interpreter(data, 1), len(model.main.nodes)) == frozenset()


def test_explicit_padding_is_put_back(library: Path) -> None:
    rng = np.random.default_rng(3)
    weights = random_array(rng, "int8", (4, 3, 3, 2))
    model = one_op(
        "conv_2d",
        [("int8", (1, 6, 7, 2), SCHEME), ("int8", weights.shape, quant([0.1] * 4), np.maximum(weights, -127)),
         ("int32", (4,), quant([0.05] * 4), np.arange(4, dtype=np.int32) * 100)],
        [("int8", (1, 7, 7, 4), quant(20.0, 3))],
        {"padding": "EXPLICIT", "explicit_padding": (2, 1, 1, 1), "stride_h": 1, "stride_w": 1,
         "dilation_h_factor": 1, "dilation_w_factor": 1, "fused_activation_function": "NONE"},
        version=3,
    )  # fmt: skip
    backend = NpuBackend(npu_sim.config(library))
    inputs = seeded(model.main.inputs)
    assert run(backend, model, inputs) == reference(model, inputs)
    delegate = backend.prepare(PrepareContext(), Subgraph(model.main, model))
    assert list(delegate.fallbacks()) == [model.main.nodes[0].where]  # its PAD stays with LiteRT


def test_state_stays_where_it_can_be_taken_over(library: Path) -> None:
    model = one_op("var_handle", [], [("resource", ())], {"shared_name": "x", "container": ""})
    support = NpuBackend(npu_sim.config(library)).supports(model.main.nodes[0])
    assert "keeps state" in support.reason


def test_a_missing_library_says_which_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "device_problem", lambda _preset: "")
    with pytest.raises(BackendError, match=r"libvx_delegate\.so.*\(install the board's"):
        NpuBackend(NpuConfig(name="n", preset="vx"))


def test_an_option_that_it_does_not_know(library: Path) -> None:
    with pytest.raises(BackendError, match="option speed = 11 is not understood"):
        NpuBackend(npu_sim.config(library, speed=11))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (NpuConfig(name="n", preset="tpu"), "no preset 'tpu'.*edgetpu"),
        (NpuConfig(name="n"), "set library or preset"),
        (NpuConfig(name="n", preset="neuron"), "name the delegate of the board's NeuroPilot release"),
    ],
)
def test_a_table_that_names_nothing(given: NpuConfig, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        wanted(given)


def test_the_configuration_goes_over_the_preset() -> None:
    found = wanted(
        NpuConfig(name="n", preset="qnn", library="/x.so", options={"backend_type": "gpu", "a": "b"})
    )
    assert found.libraries == ("/x.so",)
    assert found.options == {"backend_type": "gpu", "a": "b"}


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_whole(preset: str) -> None:
    row = PRESETS[preset]
    assert row.source.startswith("https://")
    assert row.nodes
    assert row.group in row.udev
    assert row.install


def test_the_device_is_looked_for(tmp_path: Path) -> None:
    node, usb = tmp_path / "npu0", tmp_path / "usb"
    preset = Preset(
        "a", ("l",), "", nodes=(f"{tmp_path}/npu*",), usb=("1a6e:089a",), group="plugdev", udev="RULE"
    )
    assert "there is no device: looked for" in device_problem(preset, usb)
    (usb / "1-1").mkdir(parents=True)
    (usb / "1-1" / "idVendor").write_text("1a6e\n")
    (usb / "1-1" / "idProduct").write_text("089a\n")
    assert device_problem(preset, usb) == ""
    node.touch(mode=0o000)
    if os.geteuid() == 0:
        assert device_problem(replace(preset, usb=()), usb) == ""  # root may open anything
    else:
        assert "usermod -aG plugdev edged; udev rule: RULE" in device_problem(replace(preset, usb=()), usb)


def test_one_backend_for_each_table() -> None:
    config = parse(
        '[[npu]]\nname = "a"\npreset = "vx"\nhang_seconds = 2.5\n[[npu]]\nname = "b"\nlibrary = "l"\nisolate = false\n'
    )
    first, second = plugin.edged_register_backends(config)
    assert (first.name, first.isolate, first.hang_seconds) == ("npu:a", True, 2.5)
    assert (second.name, second.isolate) == ("npu:b", False)
    assert plugin.edged_register_backends(Config()) == []


def test_errors_are_ours(library: Path) -> None:
    backend, model = NpuBackend(npu_sim.config(library, mood="fail")), digits()
    with pytest.raises(EdgedError, match=r"npu_sim|failed"):
        run(backend, model, seeded(model.main.inputs))
