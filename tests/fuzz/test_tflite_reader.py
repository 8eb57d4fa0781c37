"""Whatever the bytes: read + verify returns or raises ModelError, in seconds, within 3 x the size + 64 MiB.

The cases run in a child process whose address space is capped, so that a memory blow-up is a failure and not
an outage. To run more of them: `python tests/fuzz/test_tflite_reader.py --cases 100000 --seed 7`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edged.errors import ModelError
from edged.formats.tflite import read, write
from edged.graph import ops
from edged.graph.model import DType, Graph, Model, Node, Quantization, Signature, Sparsity, Tensor
from edged.graph.verify import verify

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("EDGED_MODELS", ROOT.parent / "shared" / "models"))
BIGGEST_FILE = 1 << 20
SECONDS_PER_CASE = 10
MEMORY_FACTOR, MEMORY_FLOOR = 3, 64 << 20


@dataclass(frozen=True)
class Specimen:
    """A file of the corpus, and the places of its structure: every byte that is not a constant's."""

    name: str
    data: bytes
    structure: tuple[range, ...]

    def place(self, rng: random.Random, align: int = 1) -> int:
        spans = self.structure if rng.random() < 0.95 else (range(len(self.data)),)
        (span,) = rng.choices(spans, weights=[len(s) for s in spans])
        return rng.choice(span) // align * align


Mutation = Callable[[bytearray, Specimen, random.Random], None]


def flip_bits(data: bytearray, of: Specimen, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        data[of.place(rng)] ^= 1 << rng.randrange(8)


def overwrite_u32(data: bytearray, of: Specimen, rng: random.Random) -> None:
    size = len(data)
    values = (0, 1, 4, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, size, size - 4, size // 4)
    for _ in range(rng.choice((1, 1, 1, 3, 10))):
        value = rng.choice((*values, rng.randrange(size), rng.randrange(1 << 32)))
        at = of.place(rng, align=4)
        data[at : at + 4] = value.to_bytes(4, "little")


def retarget_offset(data: bytearray, of: Specimen, rng: random.Random) -> None:
    """Lets a word point to another place of the structure, as an aliased offset would."""
    for _ in range(rng.choice((1, 1, 4))):
        at, target = sorted((of.place(rng, align=4), of.place(rng, align=4)))
        data[at : at + 4] = (target - at).to_bytes(4, "little")


def overwrite_byte(data: bytearray, of: Specimen, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 2, 5))):
        data[of.place(rng)] = rng.choice((0, 1, 2, 4, 32, 127, 128, 255, rng.randrange(256)))


def copy_block(data: bytearray, of: Specimen, rng: random.Random) -> None:
    length = rng.choice((4, 8, 16, 64, 256))
    source, target = of.place(rng, align=4), of.place(rng, align=4)
    block = data[source : source + length]
    data[target : target + len(block)] = block


def zero_block(data: bytearray, of: Specimen, rng: random.Random) -> None:
    at, length = of.place(rng), rng.choice((2, 4, 16, 128))
    data[at : at + length] = bytes(len(data[at : at + length]))


def truncate(data: bytearray, of: Specimen, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def insert_bytes(data: bytearray, of: Specimen, rng: random.Random) -> None:
    at = of.place(rng)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16)))


MUTATIONS: dict[Mutation, int] = {
    flip_bits: 4, overwrite_u32: 4, retarget_offset: 3, overwrite_byte: 3, copy_block: 2, zero_block: 2,
    truncate: 1, insert_bytes: 1,
}  # fmt: skip
"""Mutations and how often each is chosen."""


def own_model() -> Model:
    """What real files seldom have: blockwise and sparse weights, loops, opaque ops, variables, metadata."""
    x, y, loop_in = (Tensor(name, DType.FLOAT32, (1, 64)) for name in "xyz")
    scales = Tensor("scales", DType.FLOAT16, (1, 2), data=memoryview(bytes(4)))
    blocks = Quantization((), (), 1, 32, scales)
    weights = Tensor("w", DType.INT4, (1, 64), quantization=blocks, data=memoryview(bytes(32)))
    csr = Sparsity((0, 1), (), ((2, None), ((0, 1, 2), (5, 63))))
    sparse = Tensor("sparse", DType.INT8, (2, 64), sparsity=csr, data=memoryview(bytes(2)))
    channels = Tensor(
        "c", DType.INT8, (2, 3), quantization=Quantization((0.5, 0.25), (0, 0)), data=memoryview(bytes(6))
    )
    text = Tensor("text", DType.STRING, (1,), data=memoryview(b"\1\0\0\0\x0c\0\0\0\x10\0\0\0abcd"))
    state = Tensor("state", DType.FLOAT32, (1, 64), signature=(-1, 64), variable=True)
    inner = Node(
        "custom",
        (x, weights, sparse, channels, text, state),
        (loop_in,),
        custom_code="npu",
        options=b"123456",
    )
    loop = Node("while", (loop_in,), (y,), {"cond_subgraph_index": 1, "body_subgraph_index": 2})
    flag = Tensor("flag", DType.BOOL, ())
    cond_in, body_in, body_out = (Tensor(name, DType.FLOAT32, (1, 64)) for name in "abc")
    slices = {"start_indices": (0, 1), "limit_indices": (1, 64), "strides": (1, 1)}
    cond = Graph("cond", (cond_in,), (flag,), (Node("unknown_300", (cond_in,), (flag,)),))
    body = Graph("body", (body_in,), (body_out,), (Node("stablehlo_slice", (body_in,), (body_out,), slices),))
    main = Graph("main", (x,), (y,), (inner, loop))
    signature = Signature("serving_default", 0, {"in": x}, {"out": y})
    return Model((main, cond, body), (signature,), "own", {"min_runtime_version": memoryview(b"2.0.0")})


def corpus() -> list[Specimen]:
    """Real files up to 1 MiB, the same as our writer writes them (their structure lies elsewhere), and our own."""
    files = [path for path in sorted(MODELS.rglob("*.tflite")) if path.parent.name != "invalid"]
    found = [(path.name, path.read_bytes()) for path in files if path.stat().st_size <= BIGGEST_FILE]
    found += [(f"{name} rewritten", write(read(data))) for name, data in found]
    own = [("own model", write(own_model())), ("own model, data outside", write(own_model(), inline_limit=0))]
    found += own * max(1, len(found) // 20)
    return [Specimen(name, data, _structure(data)) for name, data in found]


def _structure(data: bytes) -> tuple[range, ...]:
    start = _address(memoryview(data))
    constants = {
        (_address(t.data) - start, len(t.data))
        for graph in read(data).graphs for t in graph.tensors if t.data
    }  # fmt: skip
    at, spans = 0, []
    for place, length in sorted(constants):
        spans.append(range(at, place))
        at = max(at, place + length)
    return tuple(span for span in (*spans, range(at, len(data))) if len(span))


def _address(view: memoryview) -> int:
    address: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return address


def one_case(data: bytes) -> bool:
    """True when the bytes are a legal model, False when they are refused. Anything else is an exception.

    What is legal can be written, and what was written is legal.
    """
    try:
        model = read(data)
        verify(model)
    except ModelError as error:
        if not error.message:
            raise AssertionError("an error without a message") from error
        return False
    verify(read(write(model)))
    return True


def fuzz(cases: int, seed: int) -> dict[str, float]:
    """Runs the cases; raises, naming the case, on the first that breaks the promise. Figures of the run."""
    files = corpus()
    ops.table()
    figures = {"cases": cases, "seed": seed, "legal": 0, "slowest_ms": 0.0}
    _cap_memory(max(len(specimen.data) for specimen in files))
    signal.signal(signal.SIGALRM, _too_slow)
    for index in range(cases):
        rng = random.Random(f"{seed}/{index}")
        specimen = rng.choice(files)
        data = bytearray(specimen.data)
        (mutate,) = rng.choices(list(MUTATIONS), weights=list(MUTATIONS.values()))
        mutate(data, specimen, rng)
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, SECONDS_PER_CASE)
        try:
            figures["legal"] += one_case(bytes(data))
        except BaseException as error:
            what = f"{specimen.name}, {mutate.__name__}"
            raise AssertionError(f"case {index} of seed {seed} ({what}): {error!r}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        figures["slowest_ms"] = max(figures["slowest_ms"], 1e3 * (time.perf_counter() - start))
    return figures


def _cap_memory(biggest: int) -> None:
    """No more address space than now, plus what one case may take (and the copy of its bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_FACTOR * biggest + MEMORY_FLOOR
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _too_slow(signum: int, frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS_PER_CASE} s")


def _in_child(cases: int, seed: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--cases", str(cases), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def test_our_own_specimen_is_legal() -> None:
    assert one_case(write(own_model()))


@pytest.mark.timeout(120)
def test_some_mutations_never_break_the_promise() -> None:
    figures = _in_child(10_000, seed=1)
    assert figures["cases"] == 10_000
    assert 0 < figures["legal"] < 10_000, "the mutations must neither all matter nor all be harmless"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_mutations_never_break_the_promise(seed: int) -> None:
    assert _in_child(10_000, seed)["cases"] == 10_000


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(fuzz(arguments.cases, arguments.seed)))
