"""Operators in topological order."""

from __future__ import annotations

import random

import pytest

from edged.errors import ModelError
from edged.formats.tflite.order import Edges, topological


def test_an_order_that_is_right_is_kept() -> None:
    assert list(topological([((), (0,)), ((), (1,)), ((0, -1, 1), (2,))], 3)) == [0, 1, 2]


def test_a_wrong_order_is_mended_with_the_fewest_changes() -> None:
    assert list(topological([((2,), (3,)), ((), (0,)), ((0,), (2,))], 4)) == [1, 2, 0]


@pytest.mark.parametrize("seed", range(20))
def test_shuffled_graphs_are_sorted(seed: int) -> None:
    rng = random.Random(seed)
    operators: list[Edges] = [
        (tuple(rng.randrange(i) for _ in range(rng.randrange(4)) if i), (i,)) for i in range(50)
    ]
    rng.shuffle(operators)
    done: set[int] = set()
    for index in topological(operators, 50):
        assert done.issuperset(operators[index][0])
        done.update(operators[index][1])
    assert len(done) == 50


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        ([((1,), (0,)), ((0,), (1,))], "in a circle"),
        ([((0,), (0,))], "in a circle"),
        ([((), (1,)), ((), (1,))], "tensor 1 is written by operators 0 and 1"),
    ],
)
def test_circles_and_double_writes_are_refused(operators: list[Edges], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        topological(operators, 2)
