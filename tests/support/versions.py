"""Versions of a small real model for update tests: files, golden cases by the reference semantics, a repository, and the
device's part of edged.toml."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.models.manifest import Manifest, TensorSpec
from support.model_repository import Repository
from support.small_models import chain

INPUTS = (TensorSpec(name="x", dtype="int8", shape=(1, 8)),)
OUTPUTS = (TensorSpec(name="y", dtype="int8", shape=(1, 8)),)


def answer(model: Model, array: np.ndarray) -> np.ndarray:
    """What the reference semantics give."""
    return next(iter(Evaluation(model).run([array]).values()))


def golden(model: Model, cases: int = 3) -> bytes:
    """Cases of random inputs and the reference's outputs."""
    rng = np.random.default_rng(5)
    parts = []
    for _case in range(cases):
        array = rng.integers(-128, 128, (1, 8)).astype(np.int8)
        parts += [array.tobytes(), answer(model, array).tobytes()]
    return b"".join(parts)


def release(
    repository: Repository, version: int, *, name: str = "net", spoilt: bool = False, **rest: object
) -> Manifest:
    """Version `version` of a small network, other weights each time; `spoilt`: with a wrong golden output."""
    model = chain(seed=version)
    expected = bytearray(golden(model))
    if spoilt:
        expected[-1] ^= 0x7F
    return repository.release(
        name,
        version,
        tflite.write(model),
        golden=bytes(expected),
        cases=3,
        inputs=INPUTS,
        outputs=OUTPUTS,
        **rest,
    )  # type: ignore[arg-type]


def toml(folder: Path, repository: Repository, url: str = "", **rest: object) -> str:
    """[updates] of a device of this repository; polls only when asked to."""
    root = folder / "trusted-root.json"
    root.write_bytes(repository.bootstrap)
    lines = [
        f'url = "{url or repository.root}"',
        f'root = "{root}"',
        'device = "device-1"',
        "poll_seconds = 100000.0",
    ]
    lines += [f"{key} = {value}" for key, value in rest.items()]
    return "\n".join(["[updates]", *lines, ""])
