"""edged's cpu backend beside LiteRT (XNNPACK), OpenVINO and ONNX Runtime: p50 of each, and the ratio to
the best of them.

All runtimes run interleaved in one process on the same inputs, batch 1, so that whatever else the machine
does falls on all alike. Prints figures, asserts none: `make bench`, or `python tests/bench/bench_peers.py
[--threads 1,2] [FILE...]`."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import PEERS, Call, inputs, load, opened

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("EDGED_MODELS", ROOT.parent / "shared" / "models"))
QUANTISED = (
    "mlperf_tiny/kws_ref_model_int8",
    "mlperf_tiny/ad01_int8",
    "mlperf_tiny/ic_pretrainedResnet_int8",
    "mlperf_tiny/vww_96_int8",
    "vision/tf2_mobilenet_v2_1.0_224_ptq",
    "vision/mobilenet_v2_1.0_224_quant",
    "vision/mobilenet_v1_0.25_224_quant",
    "vision/mobilenet_v1_0.75_192_quant",
    "vision/coco_ssd_mobilenet_v1_1.0_quant",
    "vision/blazeface_front_128_int8",
)
FLOAT = (
    "mlperf_tiny/kws_ref_model_fp32",
    "mlperf_tiny/ad01_fp32",
    "mlperf_tiny/ic_pretrainedResnet_fp32",
    "mlperf_tiny/vww_96_fp32",
    "vision/mobilenet_v1_0.25_224_float",
    "vision/face_detection_short_range",
    "vision/selfie_segmentation",
)
ONNX = {"mlperf_tiny/vww_96_fp32": "onnx/vww_96_float.onnx"}
"""The same networks as .onnx, where there is one."""
ROUNDS = 8
SECONDS = 0.08
"""Of each runtime in each round."""


def interleaved(calls: Mapping[str, Call]) -> dict[str, float]:
    """p50 in microseconds: the least median of a round, over rounds that all runtimes take in turn."""
    best = dict.fromkeys(calls, math.inf)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()
            taken: list[float] = []
            end = time.perf_counter_ns() + int(SECONDS * 1e9)
            while len(taken) < 5 or time.perf_counter_ns() < end:
                start = time.perf_counter_ns()
                call()
                taken.append((time.perf_counter_ns() - start) / 1e3)
            taken.sort()
            best[name] = min(best[name], taken[len(taken) // 2])
    return best


def row(name: str, threads: int) -> float | None:
    """Prints one model's line; edged's time over the best peer's."""
    path = MODELS / f"{name}.tflite"
    if not path.is_file():
        print(f"{name:42} is not at {MODELS}")
        return None
    arrays = inputs(load(path))
    files = dict.fromkeys(PEERS, path) | {"onnxruntime": MODELS / ONNX[name] if name in ONNX else None}
    found = {peer: opened(peer, files[peer], arrays, threads) for peer in PEERS}
    times = interleaved({peer: call for peer, call in found.items() if not isinstance(call, str)})
    cells = "".join(f"{times[p]:14.1f}" if p in times else f"{found[p]!s:>17}" for p in PEERS)
    peers = [us for peer, us in times.items() if peer != "edged"]
    ratio = times["edged"] / min(peers) if peers and "edged" in times else None
    print(f"{name.partition('/')[2]:40}{cells}{'' if ratio is None else f'{ratio:8.2f}'}", flush=True)
    return ratio


def compare(title: str, names: Sequence[str], threads: int) -> None:
    print(
        f"\n{title}, {threads} thread{'s' * (threads > 1)}: p50 in us; last column: edged over the best peer"
    )
    print(f"{'':40}" + "".join(f"{peer:>14}" for peer in PEERS))
    ratios = [r for r in (row(name, threads) for name in names) if r is not None]
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"geometric mean over {len(ratios)} models: {mean:.2f}")


def test_peers_bench() -> None:
    """So that `make bench` prints the figures too."""
    main([])


def main(arguments: Sequence[str]) -> None:
    counts = [1, 2]
    if arguments[:1] == ["--threads"]:
        counts, arguments = [int(n) for n in arguments[1].split(",")], arguments[2:]
    for threads in counts:
        if arguments:
            compare("models", arguments, threads)
        else:
            compare("int8 and uint8", QUANTISED, threads)
            compare("f32", FLOAT, threads)


if __name__ == "__main__":
    main(sys.argv[1:])
