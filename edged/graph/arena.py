"""Lifetimes -> offsets in one buffer: the arena plan of a program.

Greedy: blocks are placed one by one, the hardest first, each into the tightest gap between the blocks that
are alive at the same time. Four orders are tried (size, length of life times size, first use, last use), and
the smallest result is kept; then, as often as the caller likes, one block of its order is moved. What may
share memory on purpose (aliases, in-place steps) is joined into one block before it comes here; what may
share a part of it is `below`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
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
    lambda b: (-b.last, -b.nbytes),
)

Below = Mapping[tuple[int, int], int]
"""(a, b) -> bytes: block a, which begins to live at the step where b's life ends, may share memory with b at
that step if it begins at least so many bytes below it."""


def plan(blocks: Sequence[Block], align: int = ALIGN, below: Below | None = None, moves: int = 0) -> Plan:
    """Places every block at a multiple of `align`. Blocks whose lives do not overlap may share bytes, and
    those of `below`. `moves`: how many changes of the best order are tried then (always the same ones)."""
    for block in blocks:
        if block.nbytes < 0 or block.last < block.first:
            raise ValueError(f"{block} has a negative size or life")
    near = {pair: _rounded(distance, align) for pair, distance in (below or {}).items()}
    for a, b in near:
        if blocks[a].first != blocks[b].last or a == b:
            raise ValueError(f"{blocks[a]} does not begin to live where {blocks[b]} ends")
    bound = lower_bound(blocks, align, near)
    best = _Placed(sum(_rounded(b.nbytes, align) for b in blocks) + 1, [], [])
    rng = random.Random(0)
    for turn in range(len(_ORDERS) + moves):
        if best.total <= bound:
            break
        order = _sorted(blocks, _ORDERS[turn]) if turn < len(_ORDERS) else _moved(blocks, best, rng)
        made = _place(blocks, order, align, near)
        if made.total < best.total or (made.total == best.total and turn >= len(_ORDERS)):
            best = made
    return Plan(tuple(best.offsets), best.total, bound)


@dataclass(frozen=True, slots=True)
class _Placed:
    total: int
    offsets: list[int]
    order: list[int]


def _sorted(blocks: Sequence[Block], key: Callable[[Block], Any]) -> list[int]:
    return sorted(range(len(blocks)), key=lambda i: key(blocks[i]))


def _moved(blocks: Sequence[Block], best: _Placed, rng: random.Random) -> list[int]:
    """The order with the block that lies highest, or now and then any other, placed earlier or later."""
    top = max(range(len(blocks)), key=lambda i: best.offsets[i] + blocks[i].nbytes)
    which = top if rng.random() < 0.5 else rng.randrange(len(blocks))
    moved = [i for i in best.order if i != which]
    moved.insert(rng.randrange(len(blocks)), which)
    return moved


def lower_bound(blocks: Sequence[Block], align: int = ALIGN, below: Below | None = None) -> int:
    """Bytes alive at the worst step, each block rounded up to `align`, what may be shared counted once."""
    if not blocks:
        return 0
    change = np.zeros(max(b.last for b in blocks) + 2, np.int64)
    for block in blocks:
        size = _rounded(block.nbytes, align)
        change[block.first] += size
        change[block.last + 1] -= size
    alive = np.cumsum(change)
    for (a, b), distance in (below or {}).items():
        over, under = _rounded(blocks[a].nbytes, align), _rounded(blocks[b].nbytes, align)
        alive[blocks[a].first] -= max(over + under - max(over, distance + under), 0)
    return int(alive.max())


def _place(blocks: Sequence[Block], order: list[int], align: int, below: Below) -> _Placed:
    count = len(blocks)
    sharing = _sharing(below)
    place_of: dict[int, int] = {}
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
        low, high = begin[:placed] - size, end[:placed].copy()  # a start between them is taken
        for other, under, distance in sharing.get(index, ()):
            if other not in place_of:
                continue
            there = place_of[other]
            if under:
                low[there] = max(low[there], begin[there] - distance)
            else:
                high[there] = min(high[there], begin[there] + distance)
        offset = _tightest(low[alive], high[alive], size)
        first[placed], last[placed], begin[placed], end[placed] = (
            block.first,
            block.last,
            offset,
            offset + size,
        )
        offsets[index], place_of[index] = offset, placed
        total = max(total, offset + size)
    return _Placed(total, offsets, order)


def _sharing(below: Below) -> dict[int, list[tuple[int, bool, int]]]:
    """Block -> (the other of the pair, must this one begin under it?, how many bytes)."""
    found: dict[int, list[tuple[int, bool, int]]] = {}
    for (a, b), distance in below.items():
        found.setdefault(a, []).append((b, True, distance))
        found.setdefault(b, []).append((a, False, distance))
    return found


def _tightest(lows: Any, highs: Any, size: int) -> int:
    """A start that lies in none of the open stretches from low to high: the lowest of the smallest range of
    such starts; behind them all when there is no other."""
    if size == 0 or len(lows) == 0:
        return 0
    order = np.argsort(lows, kind="stable")
    tops = np.maximum.accumulate(np.concatenate([[0], highs[order]]))
    slack = lows[order] - tops[:-1]
    fitting = np.flatnonzero(slack >= 0)
    if len(fitting):
        return int(tops[fitting[np.argmin(slack[fitting])]])
    return int(tops[-1])


def _rounded(nbytes: int, align: int) -> int:
    return -(-nbytes // align) * align
