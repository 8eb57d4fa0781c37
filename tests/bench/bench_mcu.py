"""Generated C on Cortex-M boards of QEMU: instructions of a run (exact; they are not cycles), flash and RAM of the whole image, beside
TFLite Micro with CMSIS-NN and TinyEngine.

    PYTHONPATH=tests python tests/bench/bench_mcu.py [MODEL...]

Flash is text + data of an image with its start-up and nothing else that a file system or semihosting needs; RAM is arena, state and the deepest
stack. The anchors were measured in the same way on the same boards.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from edged.backend import Subgraph
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu.codegen import generate
from support import mcu_image

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("EDGED_MODELS", ROOT.parent / "shared" / "models"))
NETS = {
    "ad01": "ad01_int8", "ic": "ic_pretrainedResnet_int8", "kws": "kws_ref_model_int8", "vww": "vww_96_int8",
}  # fmt: skip
ANCHORS = {
    "ad01": {"m4": 0.583, "m55": 0.286, "flash": 281_004, "ram": 2_580 + 1_300},
    "ic": {"m4": 29.86, "m55": 4.91, "flash": 91_000, "ram": 54_996 + 1_300},
    "kws": {"m4": 7.70, "m55": 1.82, "flash": 35_672, "ram": 22_820 + 1_300},
    "vww": {"m4": 24.10, "m55": 6.56, "flash": 245_564, "ram": 60_728 + 400},
}
"""M instructions of TFLite Micro with CMSIS-NN; the least flash and RAM of it and TinyEngine."""
RUNS = 2


def plugin(folder: Path) -> Path:
    made = folder / "count_between.so"
    source = ROOT / "tests/kernels/count_between.c"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
    return made


def symbol(elf: Path, name: str) -> int:
    listed = subprocess.run(["arm-none-eabi-nm", str(elf)], capture_output=True, text=True, check=True).stdout
    found = re.search(rf"^([0-9a-f]+) . {name}$", listed, re.M)
    assert found, name
    return int(found[1], 16) & ~1


def measure(net: str, board: str, level: str = "-O2") -> tuple[float, int, int]:
    """(M instructions of a run, flash, RAM)."""
    source = tflite.read((MODELS / "mlperf_tiny" / f"{NETS[net]}.tflite").read_bytes())
    model = optimise(source)
    made = generate(Subgraph(model.main, model), mcu_image.BOARDS[board][1])
    graph = model.main
    sizes = tuple(t.nbytes for t in graph.inputs), tuple(t.nbytes for t in graph.outputs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = mcu_image.bare(made, folder / "bare", board, level)
        image = mcu_image.build(made, folder, board, *sizes, level)
        ends = f"begin={symbol(image.elf, 'count_begin'):x},end={symbol(image.elf, 'count_end'):x}"
        calls = [seeded(source.main.inputs, seed) for seed in range(RUNS)]
        answers = image.run([a.tobytes() for call in calls for a in call], f"{plugin(folder)},{ends}")
        wanted = [[v.tobytes() for v in Evaluation(source).run(call).values()] for call in calls]
        assert answers == wanted, f"{net} on {board}: other bytes than the reference"
        count = re.search(r"instructions (\d+) runs (\d+)", image.said)
        assert count, image.said
        ram = made.arena_bytes + made.state_bytes + image.stack
        return int(count[1]) / int(count[2]) / 1e6, bare, ram


def main(nets: list[str]) -> None:
    print("| | board | M instructions | CMSIS-NN | ratio | flash | least of peers | RAM | least of peers |")
    print("|---|---|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {}
    for net in nets or NETS:
        anchor = ANCHORS[net]
        for board in os.environ.get("BOARDS", "m4,m7,m55").split(","):
            count, flash, ram = measure(net, board)
            peer = anchor["m4" if board == "m7" else board]
            ratios.setdefault(board, []).append(count / peer)
            print(f"| {net} | {board.upper()} | {count:.3f} | {peer} | {count / peer:.2f} | {flash:,} | {anchor['flash']:,} | {ram:,} | {anchor['ram']:,} |", flush=True)
    for board, found in ratios.items():
        print(f"{board}: geometric mean of the ratios {np.exp(np.mean(np.log(found))):.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
