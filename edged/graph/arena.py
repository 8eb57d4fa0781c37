"""Lifetimes -> offsets in one buffer: the arena plan of a program.

Greedy: blocks are placed one by one, the hardest first, each into the tightest gap between the blocks that
are alive at the same time. Three orders are tried (size, length of life times size, first use) and the
smallest result is kept. What may share memory on purpose (aliases, in-place steps) is joined into one
block before it comes here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ALIGN = 64


@dataclass(frozen=True, slots=True)
class Block:
    """`nbytes` that must keep their contents from step `first` to step `last`, both included."""

    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`offsets` in the order of the blocks; `total` bytes of arena.

    `lower_bound` is the largest sum of blocks alive at one step: no placement can need less.
    """

    offsets: tuple[int, ...]
    total: int
    lower_bound: int


_ORDERS: tuple[Callable[[Block], Any], ...] = (
    lambda b: (-b.nbytes, b.first),
    lambda b: (-b.nbytes * (b.last - b.first + 1), b.first),
    lambda b: (b.first, -b.nbytes),
)


def plan(blocks: Sequence[Block], align: int = ALIGN) -> Plan:
    """Places every block at a multiple of `align`. Blocks whose lives do not overlap may share bytes."""
    for block in blocks:
        if block.nbytes < 0 or block.last < block.first:
            raise ValueError(f"{block} has a negative size or life")
    bound = lower_bound(blocks, align)
    best: tuple[int, list[int]] | None = None
    for order in _ORDERS:
        candidate = _place(blocks, sorted(range(len(blocks)), key=lambda i: order(blocks[i])), align)
        if best is None or candidate[0] < best[0]:
            best = candidate
        if best[0] <= bound:
            break
    assert best is not None
    return Plan(tuple(best[1]), best[0], bound)


def lower_bound(blocks: Sequence[Block], align: int = ALIGN) -> int:
    """Bytes alive at the worst step, each block rounded up to `align`."""
    if not blocks:
        return 0
    change = np.zeros(max(b.last for b in blocks) + 2, np.int64)
    for block in blocks:
        size = _rounded(block.nbytes, align)
        change[block.first] += size
        change[block.last + 1] -= size
    return int(np.cumsum(change).max())


def _place(blocks: Sequence[Block], order: Sequence[int], align: int) -> tuple[int, list[int]]:
    count = len(blocks)
    first = np.empty(count, np.int64)
    last = np.empty(count, np.int64)
    begin = np.empty(count, np.int64)
    end = np.empty(count, np.int64)
    offsets = [0] * count
    total = 0
    for placed, index in enumerate(order):
        block = blocks[index]
        size = _rounded(block.nbytes, align)
        alive = (first[:placed] <= block.last) & (last[:placed] >= block.first)
        offset = _tightest(begin[:placed][alive], end[:placed][alive], size)
        first[placed], last[placed], begin[placed], end[placed] = (
            block.first,
            block.last,
            offset,
            offset + size,
        )
        offsets[index] = offset
        total = max(total, offset + size)
    return total, offsets


def _tightest(begins: Any, ends: Any, size: int) -> int:
    """The smallest gap between the occupied stretches that holds `size`; behind them all when none does."""
    if size == 0 or len(begins) == 0:
        return 0
    order = np.argsort(begins, kind="stable")
    tops = np.maximum.accumulate(np.concatenate([[0], ends[order]]))
    gaps = begins[order] - tops[:-1]
    fitting = np.flatnonzero(gaps >= size)
    if len(fitting):
        return int(tops[fitting[np.argmin(gaps[fitting])]])
    return int(tops[-1])


def _rounded(nbytes: int, align: int) -> int:
    return -(-nbytes // align) * align
