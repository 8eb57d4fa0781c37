"""Whole models through the NEON kernels under qemu: the reference's bytes on every kind of aarch64, and no
illegal instruction on the oldest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.formats import read
from edged.graph.evaluate import Evaluation
from edged.graph.passes import optimise
from support import aarch64
from support.networks import some_input

MACHINES = (
    ("neon,dotprod,i8mm", "max"),
    ("neon,dotprod", "cortex-a76"),
    ("neon", "cortex-a53"),
    ("none", "cortex-a53"),
)
MODELS = (
    "mlperf_tiny/ad01_int8",
    "mlperf_tiny/kws_ref_model_int8",
    "mlperf_tiny/ic_pretrainedResnet_int8",
    "mlperf_tiny/vww_96_int8",
    "mlperf_tiny/kws_ref_model_fp32",
    "mlperf_tiny/ic_pretrainedResnet_fp32",
    "vision/mobilenet_v1_0.25_128_quant",
)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("mask", "cpu"), MACHINES, ids=[cpu + " " + mask for mask, cpu in MACHINES])
def test_a_model_gives_the_same_bytes_on_aarch64(models: Path, name: str, mask: str, cpu: str) -> None:
    if aarch64.missing():
        pytest.skip(aarch64.missing())
    plain = read(memoryview((models / f"{name}.tflite").read_bytes()))
    arrays = [some_input(t) for t in plain.main.inputs]
    program = aarch64.lower(optimise(plain), mask)
    got, _ = aarch64.run(program, arrays, mask, cpu)
    for ours, wanted in zip(got, Evaluation(plain).call(plain.main, arrays), strict=True):
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, wanted, 1e-4, 1e-4 * float(np.abs(wanted).max()))
        else:
            np.testing.assert_array_equal(ours, wanted)
