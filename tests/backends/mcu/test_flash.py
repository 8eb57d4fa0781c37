"""A board with two slots of flash (the simulated one of mps2-an500): what it holds outlives a reset, and no load that is cut
off takes it away."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

from edged.errors import LinkError
from edged_backends.mcu import messages
from edged_backends.mcu.board import Board, _Job
from edged_backends.mcu.compile import Place, Programs
from edged_backends.mcu.messages import Identity, Kind
from edged_backends.mcu.rig.firmware import RUNTIME
from edged_backends.mcu.rig.proxy import Faults
from edged_backends.mcu.rig.qemu import QemuBoard
from support import boards

pytestmark = pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here")
COUNT, SPOIL = 300, 251
SPOILING = f"""
    if (bytes[0] == {SPOIL}) {{
        *(volatile uint8_t *)(uintptr_t)edged_program_descriptor.digest ^= 0x55;
    }}
    for (int i"""
CRASH = "*(volatile uint32_t *)0xFFFFFF00u = 1;"
SOURCE = (boards.ROOT / "tests/sim/echo_board/add_one.c").read_text().replace("    for (int i", SPOILING, 1)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[QemuBoard]:
    with boards.rig("mps2-an500", tmp_path) as made:
        yield made


@pytest.fixture
def board(rig: QemuBoard) -> Iterator[Board]:
    made = boards.opened(rig)
    yield made
    made.close()


def program(identity: Identity, add: int, source: str = SOURCE) -> dict[int, bytes]:
    """add_one.c, adding another number, for both slots."""
    files = {
        "add.c": source.replace("bytes[i] + 1", f"bytes[i] + {add}").encode(),
        "program.h": (RUNTIME / "program.h").read_bytes(),
    }
    addresses = (identity.slot_address, identity.other_address)
    return {a: Programs([]).get(files, Place(identity.target, a, identity.slot_bytes)) for a in addresses}


def adds(board: Board) -> int:
    """What the program that is there adds."""
    data = bytes(random.Random(1).randrange(200) for _ in range(COUNT))
    (found,), _ = board.run([data], [COUNT])
    (added,) = {after - before for before, after in zip(data, found, strict=True)}
    return added


def sent(board: Board) -> int:
    return board.link.counts.sent


def test_it_outlives_a_reset_and_is_not_loaded_again(rig: QemuBoard, board: Board) -> None:
    first = board.identify()
    assert first.other_address
    assert not any(first.held)
    images = program(first, 1)
    board.load(images)
    rig.reset()
    found = board.identify()
    assert found.boot == first.boot + 1
    assert found.held == hashlib.sha256(images[first.slot_address]).digest()
    before = sent(board)
    board.load(images)
    assert sent(board) == before
    assert adds(board) == 1


def test_the_next_program_goes_to_the_other_slot(rig: QemuBoard, board: Board) -> None:
    first = board.identify()
    for add in (1, 2, 3):
        board.load(program(first, add))
        assert adds(board) == add
        rig.reset()
        found = board.identify()
        assert found.slot_address == (first.other_address if add % 2 else first.slot_address)
        board.load(program(first, add))
        assert adds(board) == add


@pytest.mark.parametrize("after", [0, 1, 5, 1000])
def test_a_load_that_is_cut_off_leaves_the_program_before_it(rig: QemuBoard, board: Board, after: int) -> None:
    """Reset `after` writes of the next load; past the last of them, before it is sealed."""
    first = board.identify()
    board.load(program(first, 1))
    image = program(first, 2)[first.other_address]
    board._do([_Job(Kind.ERASE, b"", lambda _body: None)])
    board._do(list(board._writes(messages.SLOT_AREA, image))[:after])
    rig.reset()
    board.identify()
    assert adds(board) == 1
    board.load(program(first, 2))
    assert adds(board) == 2


def test_a_damaged_program_is_not_run(rig: QemuBoard, board: Board) -> None:
    """The second one spoils a byte of its own slot when it is run with 251."""
    first = board.identify()
    board.load(program(first, 1))
    board.load(program(first, 2))
    board.run([bytes([SPOIL, *bytes(COUNT - 1)])], [COUNT])
    rig.reset()
    board.identify()
    assert adds(board) == 1, "the one before it serves again"


def test_bytes_that_are_not_erased_are_refused(board: Board) -> None:
    board.identify()
    with pytest.raises(LinkError, match="outside of what it has"):
        board._do(list(board._writes(messages.SLOT_AREA, b"not erased before")))


def test_two_programs_take_turns_without_erasing(rig: QemuBoard, board: Board) -> None:
    first = board.identify()
    one, two = program(first, 1), program(first, 2)
    board.load(one)
    board.load(two)
    before = sent(board)
    for _ in range(3):
        board.load(one)
        assert adds(board) == 1
        board.load(two)
        assert adds(board) == 2
    assert sent(board) - before < 6 * 12
    board.load(one)
    rig.reset()
    board.identify()
    assert adds(board) == 2, "the one that was written last"
    board.load(one)
    assert adds(board) == 1
    board.load(program(first, 3))
    rig.reset()
    board.identify()
    assert adds(board) == 3, "newer than both"


def test_a_program_that_crashes_when_it_begins_is_never_kept(board: Board) -> None:
    first = board.identify()
    board.load(program(first, 1))
    with pytest.raises(LinkError, match=r"was reset \(a fault"):
        board.load(program(first, 2, SOURCE.replace("(void)state;", "(void)state;" + CRASH, 1)))
    board.identify()
    assert adds(board) == 1


def test_a_program_for_the_other_slot_is_refused(board: Board) -> None:
    first = board.identify()
    board.load(program(first, 1))
    wrong = program(first, 2)[first.slot_address]
    with pytest.raises(LinkError, match="for another place"):
        board.load({first.other_address: wrong})
    board.identify()
    assert adds(board) == 1


def test_a_run_names_its_program(rig: QemuBoard, board: Board) -> None:
    """A power cut may give the board the same life's number again, and its greeting may be lost; it then runs what was
    written last, not what was chosen last."""
    first = board.identify()
    one, two = program(first, 1), program(first, 2)
    board.load(one)
    board.load(two)
    board.load(one)
    rig.proxy.faults = Faults(drop=1.0)
    rig.reset()
    sleep(0.5)
    rig.proxy.faults = Faults()
    board.link.boot += 1
    with pytest.raises(LinkError, match="another program"):
        adds(board)
    board.identify()
    board.load(one)
    assert adds(board) == 1
