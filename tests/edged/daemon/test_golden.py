"""Golden cases on a house of this process: what counts as right, and what is said about what is not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edged.config import Config
from edged.daemon.golden import LateError, check_signature, compare, replay
from edged.formats import tflite
from edged.models.errors import TrialError
from edged.models.manifest import Golden, Manifest, TensorSpec
from edged.runtime.house import Call, House
from edged.source import Source
from support.model_repository import describe
from support.small_models import chain
from support.versions import INPUTS, OUTPUTS, golden

DATA = golden(chain())


@pytest.fixture(scope="module")
def call() -> Iterator[Call]:
    house = House(Config(), only=["cpu"])
    model = tflite.read(memoryview(tflite.write(chain())), name="chain")
    made = Call(house, house.load("net", Source("memory", lambda: model)))
    yield made
    made.close()
    house.close()


def manifest(**changes: object) -> Manifest:
    rest = {"inputs": INPUTS, "outputs": OUTPUTS, "cases": 3, "latency_us": 0, "tolerance": 0.0, **changes}
    cases = Golden(
        blob=describe(DATA), cases=rest["cases"], tolerance=rest["tolerance"], latency_us=rest["latency_us"]
    )  # type: ignore[arg-type]
    return Manifest(
        model="net", version=1, file=describe(b"f"), inputs=rest["inputs"], outputs=rest["outputs"], golden=cases
    )  # type: ignore[arg-type]


def test_right_answers(call: Call) -> None:
    check_signature(call, manifest())
    assert replay(call, manifest(), memoryview(DATA)) > 0


def test_one_wrong_byte(call: Call) -> None:
    spoilt = bytearray(DATA)
    spoilt[16 + 9] ^= 1
    with pytest.raises(TrialError, match="golden case 1, output 'y': 1 of 8 values differ"):
        replay(call, manifest(), memoryview(spoilt))
    assert replay(call, manifest(tolerance=1.0), memoryview(spoilt)) > 0


def test_too_slow(call: Call) -> None:
    with pytest.raises(LateError, match="the limit is 1 us"):
        replay(call, manifest(latency_us=1), memoryview(DATA))


def test_a_blob_of_another_size(call: Call) -> None:
    with pytest.raises(TrialError, match="has 47 bytes, 3 cases of this model have 48"):
        replay(call, manifest(), memoryview(DATA)[:-1])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (INPUTS * 2, "names 2"),
        ((TensorSpec(name="z", dtype="int8", shape=(1, 8)),), "input 'x' is int8"),
        ((TensorSpec(name="x", dtype="uint8", shape=(1, 8)),), "uint8"),
        ((TensorSpec(name="x", dtype="int8", shape=(1, 9)),), "1x9"),
    ],
)
def test_another_signature(call: Call, tensors: tuple[TensorSpec, ...], message: str) -> None:
    with pytest.raises(TrialError, match=message):
        check_signature(call, manifest(inputs=tensors))


def test_any_size_is_minus_one(call: Call) -> None:
    check_signature(call, manifest(inputs=(TensorSpec(name="x", dtype="int8", shape=(-1, 8)),)))


@pytest.mark.parametrize(
    ("got", "want", "tolerance", "good"),
    [
        ([1.0, np.nan], [1.0, np.nan], 0.1, True),
        ([np.inf], [np.inf], 0.1, True),
        ([np.nan], [1.0], 1e9, False),
        ([1.0], [np.nan], 1e9, False),
        ([np.inf], [-np.inf], 1e9, False),
        ([1.05], [1.0], 0.1, True),
        ([1.2], [1.0], 0.1, False),
        ([np.nan], [np.nan], 0.0, True),
        ([0.0], [-0.0], 0.0, False),
    ],
)
def test_comparing_floats(got: list[float], want: list[float], tolerance: float, good: bool) -> None:
    arrays = np.array(got, np.float32), np.array(want, np.float32)
    if good:
        compare("here", *arrays, tolerance)
    else:
        with pytest.raises(TrialError, match="here"):
            compare("here", *arrays, tolerance)
