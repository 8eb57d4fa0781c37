"""The client's slots."""

from __future__ import annotations

import gc
import os

import pytest

from edged_ipc.messages import TensorSpec
from edged_ipc.pool import SlotPool
from edged_ipc.tensors import Form

FORM = Form((TensorSpec("a", "int32", (2,), 8, 0),), (TensorSpec("b", "int32", (2,), 8, 64),))


@pytest.mark.parametrize("inline", [False, True])
def test_blocks(inline: bool) -> None:
    pool = SlotPool(FORM, 128, inline)
    first = pool.slots_of(pool.grow(2))
    second = pool.slots_of(pool.grow(3))
    slots = first + second
    assert [s.number for s in slots] == [0, 1, 2, 3, 4]
    for slot in slots:
        slot.inputs[0][...] = slot.number
    assert [list(s.inputs[0]) for s in slots] == [[i, i] for i in range(5)]
    slots[1].memory[64:68] = (7).to_bytes(4, "little")
    assert slots[1].outputs[0][0] == 7
    pool.close()
    assert slots[4].inputs[0][0] == 4  # memory lives as long as its arrays


def test_refused_blocks_leave_nothing() -> None:
    before = len(os.listdir("/proc/self/fd"))
    pool = SlotPool(FORM, 128, False)
    block = pool.grow(1)
    block.close()
    del block
    assert pool.blocks == []
    assert pool.count == 0
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pool_that_nobody_closes_leaves_nothing() -> None:
    gc.collect()  # what other tests have left
    before = len(os.listdir("/proc/self/fd"))
    pool = SlotPool(FORM, 128, False)
    slots = pool.slots_of(pool.grow(2))
    assert len(os.listdir("/proc/self/fd")) > before
    del pool, slots
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
