"""A session's slots as the server keeps them."""

from __future__ import annotations

import mmap

import pytest

from edged_ipc import messages as m
from edged_ipc.errors import LocalProtocolError
from edged_ipc.messages import TensorSpec
from edged_ipc.quota import Account
from edged_ipc.slots import SlotTable, placed


def table(slots: int = 2) -> tuple[SlotTable, list[m.Message], list[SlotTable]]:
    said: list[m.Message] = []
    settled: list[SlotTable] = []
    made = SlotTable(0, "x", False, Account(0), said.append, settled.append)
    made.slot_bytes = 128
    made.add(mmap.mmap(-1, 4096), slots)
    return made, said, settled


def begin(made: SlotTable, slot: int, request: int) -> None:
    assert made._account.begin(9)
    made.requests[slot] = request


def test_placed() -> None:
    inputs, outputs, size = placed(
        (TensorSpec("a", "int8", (3,), 3), TensorSpec("b", "int8", (70,), 70)),
        (TensorSpec("c", "int8", (1,), 1),),
    )
    assert [t.offset for t in (*inputs, *outputs)] == [0, 64, 192]
    assert size == 256
    assert placed((), ())[2] == 64


def test_answers() -> None:
    made, said, settled = table()
    begin(made, 0, 10)
    begin(made, 1, 11)
    made.done(1, 5, 6, 7)
    made.failed(0, 101, "full", "wait")
    assert said == [m.Done(11, 5, 6, 7), m.Failed(10, 101, "full", "wait")]
    assert not made.busy
    assert made._account.idle
    assert not settled


def test_answered_twice_is_the_services_mistake() -> None:
    made, _, _ = table()
    begin(made, 0, 10)
    made.done(0, 1, 1, 1)
    with pytest.raises(LocalProtocolError, match="slot 0 was answered twice"):
        made.done(0, 1, 1, 1)


def test_the_last_answer_settles_a_closing_session() -> None:
    made, _, settled = table()
    begin(made, 0, 10)
    begin(made, 1, 11)
    made.closing = True
    made.done(0, 1, 1, 1)
    assert made.busy
    made.done(1, 1, 1, 1)
    assert not made.busy
    assert settled == [made, made]


def test_memory_outlives_its_table_while_somebody_looks() -> None:
    made, _, _ = table()
    view = made.slots[1]
    made.release()
    view[0] = 5
    assert view[0] == 5


def test_slots_are_numbered_on() -> None:
    made, _, _ = table()
    made.add(mmap.mmap(-1, 4096), 3)
    assert len(made.slots) == len(made.requests) == len(made.tickets) == 5
    assert made.memory_bytes == 5 * 128
