"""Files in which one vector or table stands for thousands: refused early, within 3 x the size + 64 MiB.

Each file is small and well-formed; only its offsets are shared, which no schema forbids.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import flatbuffers
import numpy as np
import pytest

from edged.errors import ModelError
from edged.formats.tflite import read
from edged.graph import ops
from edged.graph.verify import problems


class Hostile:
    """Builds a one-operator file whose parts are repeated or long, as the counts say."""

    def __init__(self, **counts: int) -> None:
        self.builder = flatbuffers.Builder(1 << 16)
        self.counts = counts

    def count(self, name: str) -> int:
        return self.counts.get(name, 1)

    def table(self, **cells: Any) -> int:
        """A table: `o2=` an offset, `i2=` an int32, `b2=` a byte in slot 2."""
        self.builder.StartObject(16)
        put = {
            "o": self.builder.PrependUOffsetTRelativeSlot,
            "i": self.builder.PrependInt32Slot,
            "b": self.builder.PrependInt8Slot,
        }
        for name, value in cells.items():
            put[name[0]](int(name[1:]), value, 0)
        return int(self.builder.EndObject())

    def again(self, offset: int, name: str) -> int:
        """A vector that holds one table `counts[name]` times."""
        count = self.count(name)
        self.builder.StartVector(4, count, 4)
        for _ in range(count):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def numbers(self, values: Sequence[int] | np.ndarray[Any, Any]) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, np.int32)))

    def graphs(self) -> int:
        name = self.builder.CreateString("n" * self.count("name"))
        scales = self.builder.CreateNumpyVector(np.ones(self.count("scales"), np.float32))
        points = self.builder.CreateNumpyVector(np.zeros(self.count("scales"), np.int64))
        quantization = self.table(o2=scales, o3=points)
        shape = self.numbers([1] * self.count("shape"))
        tensors = self.again(self.table(o0=shape, o3=name, o4=quantization), "tensors")
        new_shape = self.table(o0=self.numbers(np.arange(1000, 1000 + self.count("new_shape"))))
        inputs, nothing = self.numbers([0] * self.count("inputs")), self.numbers([])
        operators = self.again(self.table(o1=inputs, o2=nothing, b3=17, o4=new_shape), "operators")
        ends = self.numbers([0])
        return self.again(self.table(o0=tensors, o1=ends, o2=ends, o3=operators, o4=name), "graphs")

    def file(self) -> bytes:
        graphs = self.graphs()
        name = self.builder.CreateString("n" * self.count("name"))
        codes = self.again(self.table(b0=22, i3=22), "codes")
        buffers = self.again(self.table(), "buffers")
        metadata = self.again(self.table(o0=name), "metadata")
        maps = self.again(self.table(o0=name), "maps")
        signatures = self.again(self.table(o0=maps), "signatures")
        root = self.table(i0=3, o1=codes, o2=graphs, o4=buffers, o6=metadata, o7=signatures)
        self.builder.Finish(root, file_identifier=b"TFL3")
        return bytes(self.builder.Output())


CASES: tuple[dict[str, int], ...] = (
    {"tensors": 25_000},
    {"tensors": 400_000},
    {"tensors": 2000, "graphs": 2000},
    {"operators": 25_000},
    {"operators": 400_000},
    {"operators": 2000, "inputs": 2000},
    {"operators": 2000, "new_shape": 2000},
    {"tensors": 2000, "name": 10_000},
    {"tensors": 2000, "shape": 2000},
    {"tensors": 2000, "scales": 2000},
    {"shape": 400_000},
    {"scales": 500_000},
    {"new_shape": 1_000_000},
    {"codes": 400_000},
    {"graphs": 400_000},
    {"metadata": 500_000},
    {"signatures": 500_000},
    {"signatures": 2000, "maps": 2000},
    {"name": 4_000_000},
)


@pytest.mark.parametrize("counts", CASES, ids=lambda counts: " ".join(f"{k}={v}" for k, v in counts.items()))
def test_memory_stays_within_the_promise(counts: dict[str, int]) -> None:
    data = Hostile(**counts).file()
    ops.table()
    tracemalloc.start()
    try:
        with suppress(ModelError):
            problems(read(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak + len(data) <= 3 * len(data) + (64 << 20)


def test_the_plain_file_is_read() -> None:
    assert read(Hostile().file()).main.nodes[0].attrs["new_shape"] == (1000,)


def test_a_product_of_counts_is_refused() -> None:
    with pytest.raises(ModelError, match=r"describes more than a file of \d+ bytes can hold"):
        read(Hostile(tensors=2000, graphs=2000).file())
