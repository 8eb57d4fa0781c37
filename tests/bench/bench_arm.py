"""Instructions per multiply-accumulate of whole models on aarch64, under qemu with a counting plugin;
LiteRT's beside them.

Instructions are not cycles, but they are exact and the same on every machine. Prints figures, asserts
none: `make bench`, or `PYTHONPATH=tests python tests/bench/bench_arm.py [MODEL...]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from edged.formats import read
from edged.graph.passes import optimise
from edged.graph.shapes import count_macs
from support import aarch64
from support.networks import some_input

MODELS = Path(os.environ.get("EDGED_MODELS", Path(__file__).resolve().parents[3] / "shared" / "models"))
CPUS = (("neon,dotprod", "cortex-a76"), ("neon", "cortex-a72"), ("none", "cortex-a72"))
ANCHORS: dict[str, tuple[float, float]] = {
    "mlperf_tiny/kws_ref_model_int8": (0.255, 0.73),
    "mlperf_tiny/ic_pretrainedResnet_int8": (0.121, 0.35),
    "mlperf_tiny/vww_96_int8": (0.282, 0.49),
    "vision/mobilenet_v1_0.25_224_quant": (0.526, 0.0),
    "vision/mobilenet_v2_1.0_224_quant": (0.442, 0.44),
    "mlperf_tiny/kws_ref_model_fp32": (0.503, 0.53),
    "mlperf_tiny/ic_pretrainedResnet_fp32": (0.377, 0.39),
    "mlperf_tiny/vww_96_fp32": (0.469, 0.48),
    "vision/mobilenet_v1_0.25_224_float": (0.469, 0.0),
}
"""LiteRT 2.3.0 with XNNPACK, counted in the same way: on Cortex-A76 and on Cortex-A72 (0: not counted)."""


def row(name: str) -> None:
    path = MODELS / f"{name}.tflite"
    if not path.is_file():
        print(f"{name:42} is not at {MODELS}")
        return
    model = optimise(read(memoryview(path.read_bytes())))
    macs = count_macs(model.main)
    arrays = [some_input(t) for t in model.main.inputs]
    cells = []
    for mask, cpu in CPUS:
        _, count = aarch64.run(aarch64.lower(model, mask), arrays, mask, cpu, count=True)
        cells.append(count / macs)
    a76, a72 = ANCHORS.get(name, (0.0, 0.0))
    peers = "".join(f"{value:10.3f}" if value else f"{'-':>10}" for value in (a76, a72))
    ratio = f"{cells[0] / a76:10.2f}" if a76 else ""
    figures = "".join(f"{cell:10.3f}" for cell in cells)
    print(f"{name.partition('/')[2]:36}{macs / 1e6:9.1f}{figures}{peers}{ratio}", flush=True)


def test_arm_bench() -> None:
    """So that `make bench` prints the figures too."""
    if aarch64.missing():
        pytest.skip(aarch64.missing())
    main([])


def main(arguments: Sequence[str]) -> None:
    print("instructions per multiply-accumulate, one warm run")
    heads = ("A76 sdot", "A72 neon", "scalar", "LiteRT A76", "LiteRT A72", "A76 ratio")
    print(f"{'':36}{'M MAC':>9}" + "".join(f"{head:>10}" for head in heads))
    for name in arguments or ANCHORS:
        row(name)


if __name__ == "__main__":
    main(sys.argv[1:])
