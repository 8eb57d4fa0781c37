"""The conversation with a board in QEMU: whole, over a bad line, and through everything that a board can do."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.errors import LinkError
from edged_backends.mcu.board import Board
from edged_backends.mcu.messages import NEWEST, OLDEST
from edged_backends.mcu.rig.proxy import Faults
from edged_backends.mcu.rig.qemu import MACHINES, QemuBoard
from support import boards

pytestmark = pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here")
COUNT = 300


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[QemuBoard]:
    with boards.rig("mps2-an386", tmp_path, seed=5) as made:
        yield made


@pytest.fixture
def board(rig: QemuBoard) -> Iterator[Board]:
    made = boards.opened(rig)
    yield made
    made.close()


def add_one(board: Board, seed: int) -> int:
    """One run, checked; the board's ticks."""
    data = bytes(random.Random(seed).randrange(250) for _ in range(COUNT))
    (found,), ticks = board.run([data], [COUNT])
    assert found == bytes(b + 1 for b in data)
    return ticks


@pytest.mark.parametrize("machine", MACHINES)
def test_load_and_run(machine: str, tmp_path: Path) -> None:
    with boards.rig(machine, tmp_path) as rig:
        board = boards.opened(rig)
        identity = board.identify()
        assert (identity.board, identity.target) == (machine, MACHINES[machine].target)
        assert (identity.boot, identity.cause) == (1, 0)
        board.load(boards.hand_made(board))
        assert add_one(board, 1) > 0
        assert board.identify().digest[:3] == b"\1\2\3"
        assert add_one(board, 2) > 0
        board.close()


@pytest.mark.parametrize(
    "runs", [5, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_a_bad_line_changes_no_answer(rig: QemuBoard, board: Board, runs: int) -> None:
    board.load(boards.hand_made(board))
    rig.proxy.faults = Faults(drop=0.005, flip=0.005, double=0.001)
    for seed in range(runs):
        add_one(board, seed)
    assert board.link.counts.resent > 0


def test_a_program_arrives_over_a_bad_line(rig: QemuBoard, board: Board) -> None:
    image = boards.hand_made(board)
    rig.proxy.faults = Faults(drop=0.01)
    board.load(image)
    add_one(board, 3)


def test_a_reset_is_noticed_and_nothing_written_before_it_counts(rig: QemuBoard, board: Board) -> None:
    board.load(boards.hand_made(board))
    add_one(board, 4)
    rig.reset()
    with pytest.raises(LinkError, match="was reset"):
        add_one(board, 5)
    with pytest.raises(LinkError, match="not identified"):
        add_one(board, 5)
    assert board.identify().boot == 2
    with pytest.raises(LinkError, match="holds no program"):
        add_one(board, 5)
    board.identify()
    board.load(boards.hand_made(board))
    add_one(board, 6)


def test_power_lost_between_two_runs(rig: QemuBoard, board: Board) -> None:
    board.load(boards.hand_made(board))
    rig.power(False)
    rig.power(True)
    with pytest.raises(LinkError, match=r"was reset|holds no program"):
        add_one(board, 5)


def test_a_board_that_stands_still_is_given_up_and_its_late_answer_is_stale(rig: QemuBoard) -> None:
    board = boards.opened(rig, patience=0.3)
    board.run_seconds = 0.3
    board.load(boards.hand_made(board))
    rig.control("stop")
    with pytest.raises(LinkError, match="no answer for"):
        add_one(board, 7)
    rig.control("cont")
    board.patience = 5.0
    board.identify()
    before = board.link.counts.sent
    board.load(boards.hand_made(board))
    assert board.link.counts.sent == before, "it has kept its program"
    for seed in range(5):
        add_one(board, seed)
    board.close()


def test_unplugged_and_plugged_in_again(rig: QemuBoard, board: Board) -> None:
    board.load(boards.hand_made(board))
    rig.proxy.unplug()
    with pytest.raises(LinkError, match="is gone"):
        add_one(board, 8)
    with pytest.raises(LinkError, match=r"cannot be opened.*plug the board in"):
        board.identify()
    rig.proxy.plug()
    assert board.identify().boot == 1
    board.load(boards.hand_made(board))
    add_one(board, 9)


def test_a_program_that_fails_and_one_that_crashes(board: Board) -> None:
    image = boards.hand_made(board)
    board.load(image)
    with pytest.raises(LinkError, match="status -7"):
        board.run([bytes([254]) + bytes(COUNT - 1)], [COUNT])
    board.identify()
    with pytest.raises(LinkError, match=r"was reset \(a fault at pc 0x2010"):
        board.run([bytes([253]) + bytes(COUNT - 1)], [COUNT])
    identity = board.identify()
    assert identity.cause == 3
    assert identity.slot_address < identity.fault_pc < identity.slot_address + len(image)


@pytest.mark.long
def test_the_watchdog_ends_a_program_that_never_returns(rig: QemuBoard) -> None:
    board = boards.opened(rig, patience=1.0)
    board.run_seconds = 1.0
    board.load(boards.hand_made(board))
    with pytest.raises(LinkError, match="no answer for"):
        board.run([bytes([252]) + bytes(COUNT - 1)], [COUNT])
    board.patience = 60.0
    identity = board.identify()
    assert (identity.boot, identity.cause) == (2, 2)
    assert identity.slot_address < identity.fault_pc < identity.slot_address + 4096
    board.load(boards.hand_made(board))
    add_one(board, 11)
    board.close()


def test_garbage_on_the_line(rig: QemuBoard, board: Board) -> None:
    board.load(boards.hand_made(board))
    board.close()
    noise = boards.Port(str(rig.port), 115200)
    noise.write(random.Random(1).randbytes(6000), 5)
    noise.close()
    board.identify()
    board.load(boards.hand_made(board))
    add_one(board, 10)
    assert board.identify().damaged > 0


def test_a_program_that_is_too_large(board: Board) -> None:
    identity = board.identify()
    with pytest.raises(LinkError, match=r"program has 1048577 bytes, the slot 1048576"):
        board.load(bytes(identity.slot_bytes + 1))


def test_what_is_no_program(board: Board) -> None:
    board.identify()
    with pytest.raises(LinkError, match="refused SEAL: it holds no program"):
        board.load(bytes(1000))


def test_a_newer_host_speaks_what_the_board_knows(board: Board) -> None:
    board.spoken = (NEWEST, NEWEST + 8)
    assert board.identify().versions == (OLDEST, NEWEST)
    assert board.link.version == NEWEST
    board.load(boards.hand_made(board))
    add_one(board, 1)


def test_a_host_that_has_forgotten_the_boards_versions_names_both(board: Board) -> None:
    board.spoken = (NEWEST + 1, NEWEST + 8)
    with pytest.raises(LinkError, match=r"speaks versions 1 to 1 of the link, this edged 2 to 9.*the board's firmware"):
        board.identify()


def test_a_load_between_a_load_and_its_run_is_not_possible(board: Board) -> None:
    """Another thread makes another model ready for the same board meanwhile."""
    one, two = (boards.hand_made(board, add) for add in (1, 2))
    end = threading.Event()

    def other() -> None:
        while not end.is_set():
            board.load(two)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for seed in range(20):
            data = bytes(random.Random(seed).randrange(200) for _ in range(COUNT))
            (found,), _ = board.run([data], [COUNT], one)
            assert found == bytes(b + 1 for b in data)
            board.stats([data], one)
    finally:
        end.set()
        thread.join()


def test_ticks_of_each_step(board: Board) -> None:
    board.load(boards.hand_made(board))
    ticks, steps = board.stats([bytes(COUNT)])
    assert len(steps) == 1
    assert 0 < steps[0] <= ticks
    add_one(board, 8)
