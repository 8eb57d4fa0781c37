"""What a node costs on this CPU, before anything was measured: multiply-accumulates and bytes over assumed
rates.

The rates are per core and rough on purpose: they rank devices and algorithms; measured times replace them
(`edged tune`, the partition's store of measurements)."""

from __future__ import annotations

from dataclasses import dataclass

from edged.graph.model import DType, Graph, Node
from edged.graph.shapes import node_macs
from edged_backends.catalogue import ARCHES, Catalogue
from edged_backends.lower import rules

CALL_US = 0.05
"""Every kernel step: the call, cold parameters."""
PYTHON_US = 25.0
"""Every step of the NumPy reference, before it computes anything."""
BYTES_PER_US = 12_000.0
PYTHON_MACS_PER_US = 400.0
PYTHON_BYTES_PER_US = 400.0


PARALLEL_NS = 4_000
"""Steps that take less on one thread are not divided: handing work over and back costs about 600 ns, and cut
steps run slower."""


PART_NS = 8_000
MOST_PARTS = 8
CACHED_BYTES_PER_US = 60_000.0
_WEIGHTED = frozenset({"conv", "fc", "dw", "winograd"})
_PLAIN = frozenset(
    {
        "add",
        "sub",
        "mul",
        "max",
        "min",
        "neg",
        "abs",
        "clip",
        "move",
        "fill",
        "xor80",
        "lut",
        "select",
        "square",
    }
)
"""Families of kernels that do next to nothing for each byte they move."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Multiply-accumulates per microsecond of one core with an instruction set: dense 8-bit, depthwise
    8-bit, dense f32, depthwise f32."""

    arch: int
    s8: float
    dw_s8: float
    f32: float
    dw_f32: float


RATES: tuple[Rate, ...] = (
    Rate(ARCHES["vnni"], 180_000, 40_000, 70_000, 20_000),
    Rate(ARCHES["avx512"], 80_000, 25_000, 70_000, 20_000),
    Rate(ARCHES["avx2"], 50_000, 20_000, 45_000, 15_000),
    Rate(ARCHES["i8mm"], 40_000, 8_000, 12_000, 6_000),
    Rate(ARCHES["dotprod"], 25_000, 8_000, 12_000, 6_000),
    Rate(ARCHES["neon"], 8_000, 5_000, 8_000, 4_000),
    Rate(0, 800, 500, 600, 500),
)
"""Best first; the first whose instruction set is there counts."""


def rate(kernels: Catalogue) -> Rate:
    return next(row for row in RATES if row.arch & ~kernels.present == 0)


def node_us(node: Node, kernels: Catalogue) -> float:
    """Estimated microseconds of one node on one thread."""
    moved = sum(t.nbytes for t in (*node.inputs, *node.outputs) if t is not None and t.dtype.bits)
    macs = node_macs(node)
    if node.kind not in rules():
        return PYTHON_US + macs / PYTHON_MACS_PER_US + moved / PYTHON_BYTES_PER_US
    return CALL_US + max(macs / _macs_per_us(node, rate(kernels)), moved / BYTES_PER_US)


def _macs_per_us(node: Node, row: Rate) -> float:
    first = next((t for t in node.inputs if t is not None), None)
    floating = first is not None and first.dtype is DType.FLOAT32
    if node.op == "depthwise_conv_2d":
        return row.dw_f32 if floating else row.dw_s8
    return row.f32 if floating else row.s8


def graph_us(graph: Graph, kernels: Catalogue) -> float:
    """Estimated microseconds of all nodes, one after the other, on one thread."""
    return sum(node_us(node, kernels) for node in graph.nodes)


def step_ns(op: str, work: int, kernels: Catalogue) -> float:
    """Rough nanoseconds of one kernel step on one thread; decides only whether to divide it among threads."""
    row = rate(kernels)
    family, _, dtype = op.partition("_")
    if family in _WEIGHTED:
        quantised = dtype.startswith(("s8", "s16", "hybrid"))
        per_us = (row.dw_s8, row.dw_f32) if family == "dw" else (row.s8, row.f32)
        return work * 1000 / per_us[0 if quantised else 1]
    return work * 1000 / (CACHED_BYTES_PER_US if family in _PLAIN else BYTES_PER_US)


def parts_per_thread(op: str, work: int, kernels: Catalogue) -> int:
    """0: not worth dividing. One part for each thread, or several of a long step, so that a thread that is
    held up does not hold up all. Plain movers always have one: their operands are best left in the cache
    that has them."""
    ns = step_ns(op, work, kernels)
    if ns < PARALLEL_NS:
        return 0
    return 1 if op.partition("_")[0] in _PLAIN else min(max(int(ns / PART_NS), 1), MOST_PARTS)
