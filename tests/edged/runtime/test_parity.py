"""Parity sampling: which runs are sampled, what is counted, when a model is moved; and devices that fall
back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from edged.config import Config, NpuConfig
from edged.demo import MODELS
from edged.errors import ModelError
from edged.formats import tflite
from edged.graph.model import DType, Tensor
from edged.graph.partition import RequirementError
from edged.runtime.house import Call, House, seeded
from edged.runtime.parity import compare
from edged.source import file_source
from support import npu_sim

INT8, FLOAT = Tensor("q", DType.INT8, (4,)), Tensor("f", DType.FLOAT32, (2,))


def _bytes(*values: float, dtype: str) -> bytes:
    return np.array(values, dtype).tobytes()


def test_integers_are_compared_in_steps() -> None:
    found = compare([INT8], [_bytes(0, 5, -128, 127, dtype="int8")], [_bytes(0, 4, 127, 127, dtype="int8")])
    assert (found.bytes_all, found.bytes_differing, found.elements) == (4, 2, 4)
    assert (found.steps_max, found.steps_total, found.steps_mean) == (255, 256, 64)


def test_floats_are_compared_to_the_largest() -> None:
    found = compare([FLOAT], [_bytes(100, 0, dtype="float32")], [_bytes(100, 0.001, dtype="float32")])
    assert found.steps_max == pytest.approx(1.0)
    assert (
        compare([FLOAT], [_bytes(np.nan, 1, dtype="float32")], [_bytes(np.nan, 1, dtype="float32")]).steps_max
        == 0
    )
    assert (
        compare([FLOAT], [_bytes(1, 1, dtype="float32")], [_bytes(np.nan, 1, dtype="float32")]).steps_max
        > 1e9
    )


Make = Callable[..., tuple[House, Call, list[str]]]


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Make]:
    """A house with the simulated NPU in this process, and digits pinned to it as far as it goes."""
    library = npu_sim.build(tmp_path / "sim")
    made: list[House] = []

    def make(
        parity: float = 0.0, limit: float = 0.0, only: Sequence[str] = (), **options: object
    ) -> tuple[House, Call, list[str]]:
        lines: list[str] = []
        table = {k: str(v) for k, v in options.items()}
        npu = NpuConfig(
            "sim",
            library=str(library),
            options=table,
            ops=tuple(only),
            isolate=False,
            parity=parity,
            parity_limit=limit,
        )
        house = House(Config(npu=(npu,)), log=lines.append)
        made.append(house)
        source = file_source(MODELS["int8"])
        return house, Call(house, house.load("m", source, pin={"conv_2d": "npu:sim"})), lines

    yield make
    for house in made:
        house.close()


def until(condition: Callable[[], bool]) -> None:
    end = monotonic() + 20
    while not condition():
        assert monotonic() < end, "it never came true"
        sleep(0.005)


def inputs(seed: int) -> list[np.ndarray]:
    return seeded(tflite.read(MODELS["int8"].read_bytes()).main.inputs, seed)


def test_the_share_is_sampled(make_house: Make) -> None:
    _, call, _ = make_house(parity=0.25)
    figures = call.session.entry.parity
    for seed in range(20):
        call(inputs(seed))
    until(lambda: figures.checked + figures.dropped == 5)
    assert (figures.differing, figures.steps_max, figures.failed) == (0, 0, 0)
    assert figures.bytes_compared > 0


def test_without_a_share_nothing_is_sampled(make_house: Make) -> None:
    house, call, _ = make_house()
    call(inputs(0))
    assert not house.parity.rates
    assert call.session.entry.parity.checked == 0


def test_over_the_limit_the_model_moves_and_a_swap_brings_it_back(make_house: Make) -> None:
    house, call, lines = make_house(parity=1.0, limit=0.5, mood="wrong", at=3)
    wanted = [call(inputs(seed)) for seed in range(2)]
    entry = call.session.entry
    until(lambda: entry.parity.checked == 2)
    assert entry.parity.differing == 0
    call(inputs(2))
    until(lambda: entry.current is not None and [s.device.name for s in entry.current.steps] == ["cpu"])
    assert entry.parity.moved == "npu:sim"
    until(lambda: any("has left npu:sim" in line for line in lines))  # said after it is so
    for seed, before in enumerate(wanted):
        np.testing.assert_array_equal(call(inputs(seed))["probabilities"], before["probabilities"])
    house.registry.swap("m", file_source(MODELS["int8"]))
    assert [s.device.name for s in call.loaded.steps] == ["npu:sim", "cpu"]


def test_a_limit_that_differences_stay_below(make_house: Make) -> None:
    _, call, lines = make_house(parity=1.0, limit=4.0, mood="wrong")
    call(inputs(0))
    figures = call.session.entry.parity
    until(lambda: figures.checked == 1)
    assert (figures.differing, figures.over, figures.moved) == (1, 0, "")
    assert not any("has left" in line for line in lines)


def test_a_required_share_does_not_count_fallbacks(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delegate takes a node alone and leaves it in the subgraph: `require` refuses the load, naming
    it."""
    from edged_backends.npu import NpuDelegate

    house, _, _ = make_house()
    source = file_source(MODELS["int8"])
    demand = {"pin": {"conv_2d": "npu:sim"}, "require": {"npu:sim": 0.9}}
    house.load("whole", source, **demand)
    left = {n.where: "it leaves it to LiteRT" for n in source.read().main.nodes if n.op == "conv_2d"}
    monkeypatch.setattr(NpuDelegate, "fallbacks", lambda _self: left)
    with pytest.raises(
        RequirementError, match=r"of the MACs really run on npu:sim, 90\.0% are required: .*leaves it"
    ):
        house.load("part", source, **demand)


VENDOR = {
    "edgetpu/mobilenet_v1_0.25_128_quant_edgetpu.tflite": ("edgetpu-custom-op", "Edge TPU", "edgetpu"),
    "edgetpu/face-detector-quantized_edgetpu.tflite": ("edgetpu-custom-op", "Edge TPU", "edgetpu"),
    "edgetpu/split_concat_edgetpu.tflite": ("edgetpu-custom-op", "Edge TPU", "edgetpu"),
    "edgetpu/testconv1-edgetpu.tflite": ("edgetpu-custom-op", "Edge TPU", "edgetpu"),
    "tflm/person_detect_vela.tflite": ("ethos-u", "Ethos-U", "ethosu"),
}


@pytest.mark.parametrize("name", VENDOR)
def test_compiled_files_name_the_backend_that_they_miss(models: Path, name: str) -> None:
    op, device, preset = VENDOR[name]
    house = House(Config())
    try:
        with pytest.raises(
            ModelError, match=rf"custom op '{op}' .*it needs the {device}: \[\[npu\]\] preset = \"{preset}\""
        ):
            house.load("m", file_source(models / name))
    finally:
        house.close()


@pytest.mark.parametrize("name", VENDOR)
def test_compiled_files_go_to_the_preset_that_claims_them(models: Path, tmp_path: Path, name: str) -> None:
    """The simulated NPU stands in for the vendor's library: it takes the op, and answers with zeros."""
    op, _, preset = VENDOR[name]
    library = npu_sim.build(tmp_path / "sim")
    npu = NpuConfig("v", preset=preset, library=str(library), options={"custom": op}, isolate=False)
    house = House(Config(npu=(npu,)))
    try:
        call = Call(house, house.load("m", file_source(models / name)))
        steps = [s for s in call.loaded.steps if s.device.name == "npu:v"]
        assert [n.custom_code for s in steps for n in s.part.graph.nodes] == [op]
        assert not steps[0].delegate.fallbacks()
        call(seeded(call.loaded.graph.inputs))
    finally:
        house.close()


def test_a_preset_whose_library_does_not_know_the_op(models: Path, tmp_path: Path) -> None:
    from edged_backends.npu import NpuBackend

    library = npu_sim.build(tmp_path / "sim")
    backend = NpuBackend(NpuConfig("v", preset="ethosu", library=str(library)))
    (node,) = (
        n
        for n in tflite.read((models / "tflm/person_detect_vela.tflite").read_bytes()).main.nodes
        if backend.claims(n)
    )
    assert "unresolved custom op: ethos-u" in backend.supports(node).reason
