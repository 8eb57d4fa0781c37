"""How long it takes until a model is there: import, read, verify, optimise, and `edged check` as a whole.

Prints figures, asserts none: `python tests/bench/bench_load.py`, or `make bench`. Imports and commands are timed in
processes of their own; every figure is the median of several.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("EDGED_MODELS", ROOT.parent / "shared" / "models"))
FILES = (
    "ops_single/abs.tflite",
    "mlperf_tiny/kws_ref_model_int8.tflite",
    "vision/mobilenet_v2_1.0_224_quant.tflite",
    "vision/tf2_mobilenet_v2_1.0_224_ptq.tflite",
    "vision/coco_ssd_mobilenet_v1_1.0_quant.tflite",
    "vision/selfie_segmentation.tflite",
)
TIMES = 9


def milliseconds(what: Callable[[], object], times: int = TIMES) -> float:
    """The median of `times` runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        what()
        taken.append(1e3 * (time.perf_counter() - start))
    return median(taken)


def command(*arguments: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)


def processes() -> None:
    """Imports, less the interpreter's own start, and `edged check`."""
    bare = milliseconds(command("-c", "pass"))
    print(f"{'python -c pass':44}{bare:9.1f} ms")
    for module in ("edged", "edged.formats.tflite", "edged.graph.verify", "edged.graph.passes"):
        print(f"{'import ' + module:44}{milliseconds(command('-c', f'import {module}')) - bare:9.1f} ms more")
    if find_spec("edged.__main__") is None:
        print("edged check: not here, edged has no __main__")
        return
    for file in FILES[:3]:
        path = MODELS / file
        taken = milliseconds(command("-m", "edged", "check", str(path))) if path.is_file() else float("nan")
        print(f"{'edged check ' + path.name:44}{taken:9.1f} ms")


def loading() -> None:
    """Reading, verifying and optimising in this process, everything imported."""
    from edged.formats.tflite import read, write
    from edged.graph import ops, passes
    from edged.graph.verify import verify

    ops.table()
    print(f"{'ms':44}{'size':>10}{'read':>8}{'verify':>8}{'passes':>8}{'write':>8}")
    for path in (MODELS / file for file in FILES):
        if not path.is_file():
            print(f"{path.name:44} is not at {path.parent}")
            continue
        data = path.read_bytes()
        model = read(data)
        figures = (
            milliseconds(lambda data=data: read(data)),  # type: ignore[misc]
            milliseconds(lambda data=data: verify(read(data))),  # type: ignore[misc]
            milliseconds(lambda data=data: passes.optimise(read(data))),  # type: ignore[misc]
            milliseconds(lambda model=model: write(model)),  # type: ignore[misc]
        )
        first, both, optimised, written = figures
        parts = (first, both - first, optimised - first, written)
        print(f"{path.name:44}{len(data):10d}" + "".join(f"{part:8.2f}" for part in parts))


def test_load_bench() -> None:
    """So that `make bench` prints the figures too."""
    main()


def main() -> None:
    processes()
    loading()


if __name__ == "__main__":
    main()
