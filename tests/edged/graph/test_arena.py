"""Arena plans: live blocks never overlap, offsets are aligned, and known cases reach the lower bound."""

from __future__ import annotations

import random

import pytest

from edged.graph.arena import ALIGN, Block, lower_bound, plan


def overlapping(blocks: list[Block], offsets: tuple[int, ...]) -> list[tuple[int, int]]:
    """Pairs of blocks that are alive together and share a byte."""
    return [
        (i, j)
        for i, a in enumerate(blocks)
        for j, b in enumerate(blocks[:i])
        if a.first <= b.last and b.first <= a.last and a.nbytes and b.nbytes
        if offsets[i] < offsets[j] + b.nbytes and offsets[j] < offsets[i] + a.nbytes
    ]


def test_an_empty_program_needs_nothing() -> None:
    assert plan([]).total == 0


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    chain = [Block(1000, i, i + 1) for i in range(8)]
    assert plan(chain).total == 2 * 1024


def test_blocks_apart_in_time_share_their_place() -> None:
    assert plan([Block(640, 0, 1), Block(640, 2, 3)]).offsets == (0, 0)


def test_blocks_that_meet_in_one_step_do_not() -> None:
    made = plan([Block(64, 0, 2), Block(64, 2, 3)])
    assert sorted(made.offsets) == [0, 64]


def test_an_empty_block_takes_no_room() -> None:
    assert plan([Block(0, 0, 3), Block(64, 1, 2)]).total == 64


@pytest.mark.parametrize("bad", [Block(-1, 0, 1), Block(8, 2, 1)])
def test_a_negative_size_or_life_is_refused(bad: Block) -> None:
    with pytest.raises(ValueError, match="negative"):
        plan([bad])


@pytest.mark.parametrize("seed", range(60))
def test_random_lives_never_overlap_and_stay_near_the_bound(seed: int) -> None:
    rng = random.Random(seed)
    blocks = []
    for _ in range(rng.randrange(1, 80)):
        first = rng.randrange(40)
        blocks.append(
            Block(rng.choice([0, 1, 63, 64, 65, 1000, 4096, 50_000]), first, first + rng.randrange(6))
        )
    made = plan(blocks)
    assert overlapping(blocks, made.offsets) == []
    assert all(offset % ALIGN == 0 for offset in made.offsets)
    assert made.lower_bound == lower_bound(blocks) <= made.total <= 1.6 * made.lower_bound + ALIGN
