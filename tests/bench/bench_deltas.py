"""What an update of a model costs on the wire: whole, packed, and as each kind of delta; and what applying
takes.

Prints figures, asserts none: `python tests/bench/bench_deltas.py`, or `make bench`. Two networks: our digits
model, really trained and then trained on (its last layer alone; all layers, a little), and MobileNets of the
folder of real models with perturbed weights (steps as fine-tuning takes them: normal, a share of each
tensor's spread). Applying runs in a process of its own; its memory is what that process holds at most, less
what it holds with nothing to do."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from edged.demo.network import Adam, Layer, train_step
from edged.demo.quantise import float_model, int8_model
from edged.formats import tflite
from edged.models import delta

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("EDGED_MODELS", ROOT.parent / "shared" / "models"))
MOBILENETS = ("mobilenet_v1_0.25_224_float", "mobilenet_v1_0.25_224_quant", "mobilenet_v2_1.0_224_quant")
MEMORY = 256 << 20
Pair = tuple[str, bytes, bytes]


def digits() -> Iterator[Pair]:
    """The digits network before and after more training."""
    from edged.demo.make_digits import scans, train

    images, labels, _, _ = scans()
    before = train(images, labels)
    for name, rate, steps, last in (
        ("last layer, 200 steps at 1e-3", 1e-3, 200, True),
        ("all layers, 20 steps at 1e-3", 1e-3, 20, False),
        ("all layers, 5 steps at 1e-4", 1e-4, 5, False),
    ):
        after = tuned(before, images, labels, rate, steps, last)
        yield f"digits float, {name}", written(float_model(before)), written(float_model(after))
        yield f"digits int8, {name}", written(int8_model(before, images)), written(int8_model(after, images))


def tuned(network: list[Layer], images: Any, labels: Any, rate: float, steps: int, last: bool) -> list[Layer]:
    """A copy, trained on; `last`: nothing but its last layer."""
    made = copy.deepcopy(network)
    adam, rng = Adam(made), np.random.default_rng(9)
    for _ in range(steps):
        pick = rng.integers(0, len(images), 32)
        train_step(made, adam, images[pick], labels[pick], rate)
        if last:
            for layer, kept in zip(made[:-1], network[:-1], strict=True):
                layer.weights[...], layer.bias[...] = kept.weights, kept.bias
    return made


def written(model: Any) -> bytes:
    return bytes(tflite.write(model))


def mobilenets() -> Iterator[Pair]:
    """Real files, with the weights of the last layer, or of all, moved."""
    for name in MOBILENETS:
        path = MODELS / "vision" / f"{name}.tflite"
        if not path.is_file():
            print(f"skip: {path} is not here")
            continue
        data = path.read_bytes()
        for last in (True, False):
            where = "the largest layer" if last else "all layers"
            for share in (1e-2, 1e-3):
                yield f"{name}, {where}, {share:g} of the spread", data, perturbed(data, share, last)


def perturbed(data: bytes, share: float, largest: bool) -> bytes:
    """The file with normal steps of `share` times its standard deviation added to each weight tensor;
    integers take the step of the real value that they stand for, rounded as training with quantisation
    would."""
    made, rng = bytearray(data), np.random.default_rng(3)
    whole = np.frombuffer(made, np.uint8)
    constants = [
        t for t in tflite.read(memoryview(made)).main.constants
        if t.data is not None and len(t.data) >= 256 and str(t.dtype) in ("float32", "int8", "uint8")
    ]  # fmt: skip
    sizes = [len(t.data or b"") for t in constants]
    for tensor in [constants[int(np.argmax(sizes))]] if largest else constants:
        array = np.frombuffer(tensor.data, np.dtype(str(tensor.dtype)))  # type: ignore[arg-type]
        offset = array.ctypes.data - whole.ctypes.data
        moved = array.astype(np.float64) + rng.normal(0, share * array.std(), array.size)
        if array.dtype.kind != "f":
            info = np.iinfo(array.dtype)
            moved = np.clip(np.floor(moved + rng.random(array.size)), info.min, info.max)
        raw = moved.astype(array.dtype).tobytes()
        made[offset : offset + len(raw)] = raw
    return bytes(made)


def applied(algorithm: str, base: Path, patch: Path, length: int) -> tuple[float, float]:
    """(milliseconds, MiB) of applying it in a fresh process."""

    def run(*arguments: str) -> tuple[float, int]:
        command = [sys.executable, __file__, "--apply", *arguments]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return float(words[0]), int(words[1])

    _, idle = run()
    taken, peak = run(algorithm, str(base), str(patch), str(length))
    return taken, (peak - idle) / 1024


def apply_here(arguments: list[str]) -> None:
    """What `applied` runs: prints milliseconds, and KiB held at most."""
    start = time.perf_counter()
    if arguments:
        algorithm, base, patch, length = arguments
        with open(os.devnull, "wb") as out:
            delta.apply(algorithm, Path(base), Path(patch), out, MEMORY, length=int(length))
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent's pages before exec
    held = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    print(1e3 * (time.perf_counter() - start), held)


def measure(name: str, old: bytes, new: bytes, folder: Path) -> None:
    """One table row for each algorithm."""
    base, target = folder / "base", folder / "new"
    base.write_bytes(old)
    target.write_bytes(new)
    packed = len(zstandard.ZstdCompressor(level=19).compress(new))
    print(f"{name}: {len(new):,} bytes, zstd -19 alone {packed / len(new):.1%}")
    for algorithm in delta.choose(len(old), len(new), MEMORY):
        patch = folder / "patch"
        start = time.perf_counter()
        with patch.open("wb") as file:
            delta.make(algorithm, base, target, file, MEMORY)
        made, size = time.perf_counter() - start, patch.stat().st_size
        taken, memory = applied(algorithm, base, patch, len(new))
        print(
            f"    {algorithm:17}{size:>11,} bytes {size / len(new):>7.2%}   made in {made:6.2f} s, "
            f"applied in {taken:6.1f} ms holding {memory:5.1f} MiB"
        )


def test_delta_bench() -> None:
    """So that `make bench` prints the figures too."""
    main()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for pairs in (digits(), mobilenets()):
            for name, old, new in pairs:
                measure(name, old, new, Path(folder))
        rng = np.random.default_rng(0)
        large = rng.normal(0, 0.05, 50_000_000).astype(np.float32)
        moved = large + rng.normal(0, 5e-5, large.size).astype(np.float32)
        measure(
            "200 MB of float weights, all moved by 1e-3 of the spread",
            large.tobytes(),
            moved.tobytes(),
            Path(folder),
        )


if __name__ == "__main__":
    apply_here(sys.argv[2:]) if sys.argv[1:2] == ["--apply"] else main()
