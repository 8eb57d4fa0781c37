"""MLPerf Tiny's text protocol: what its runner sends is answered, beside frames, and no text harms the firmware."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import serial

from edged_backends.mcu.frame import frame
from edged_backends.mcu.messages import HEADER, REPLY, VERSION, Kind
from support import boards, host_board

READY = "m-ready"


def lines(data: bytes) -> list[str]:
    out, status, report = host_board.answers(data)
    assert status == 0, report
    text: str = out.rpartition(b"\0")[2].decode()
    return text.splitlines()


def test_commands_that_need_no_program() -> None:
    assert lines(b"name%") == ["m-name-dut-[host]", READY]
    assert lines(b"\r\nprofile%")[1:] == ["m-model-[]", READY]
    first, _, second, _ = lines(b"timestamp%timestamp%")
    assert first.startswith("m-lap-us-")
    assert int(second.rpartition("-")[2]) > int(first.rpartition("-")[2])


@pytest.mark.parametrize("command", ["db load 4", "db 00", "infer 1", "results", "names", "nam"])
def test_without_a_program_there_is_an_error_line(command: str) -> None:
    error, ready = lines(command.encode() + b"%")
    assert error.startswith("e-[No program")
    assert ready == READY


def test_frames_before_and_after_text_are_answered() -> None:
    asked = frame(HEADER.pack(VERSION, Kind.IDENTIFY, 0x2525, 0) + b"%%")
    out, status, report = host_board.answers(asked + b"name%" + asked)
    assert status == 0, report
    assert out.count(b"m-name-dut") == 1
    assert out.count(bytes([VERSION, Kind.IDENTIFY | REPLY, 0x25, 0x25])) == 2


def test_no_text_harms_the_firmware() -> None:
    roll = random.Random(6)
    words = [
        "name",
        "db",
        "load",
        "infer",
        "results",
        "profile",
        "timestamp",
        "help",
        "99999999999",
        "-1",
        "0g",
    ]
    said = [" ".join(roll.choices(words, k=roll.randrange(6))) for _ in range(2000)]
    said += ["x" * size for size in (1086, 1087, 1088, 1089, 5000)]
    lines("%".join(said).encode() + b"%\0name%")


def ask(line: serial.Serial, command: str) -> list[str]:
    line.write(command.encode() + b"%")
    answer: str = line.read_until(b"m-ready\r\n").decode(errors="replace")
    assert answer.endswith("m-ready\r\n"), answer
    return answer.splitlines()[:-1]


@pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here")
def test_a_runner_drives_a_board_in_qemu(tmp_path: Path) -> None:
    """As MLPerf Tiny's runner does: `db load`, the bytes in pieces, `infer`, `results`."""
    data = bytes(random.Random(3).randrange(250) for _ in range(300))
    with boards.rig("mps2-an386", tmp_path) as rig:
        board = boards.opened(rig)
        board.load(boards.hand_made(board))
        board.close()
        with serial.Serial(str(rig.port), 115200, timeout=20) as line:
            assert ask(line, "name")[-1].endswith("m-name-dut-[mps2-an386]")
            assert ask(line, "profile")[1].startswith("m-model-[010203")
            assert ask(line, "infer 1")[0].startswith("e-[No inputs")
            assert ask(line, "db load 7") == ["e-[The inputs have 300 bytes]"]
            assert ask(line, "db load 300") == ["m-[Expecting 300 bytes]"]
            pieces = [ask(line, f"db {data[at : at + 31].hex()}") for at in range(0, 300, 31)]
            assert pieces == [[]] * 9 + [["m-load-done"]]
            assert ask(line, "db 00")[0].startswith("e-[More bytes")
            said = ask(line, "infer 3 2")
            assert [text.rstrip("0123456789") for text in said[:6]] == [
                "m-warmup-start-", "m-warmup-done", "m-infer-start-", "m-lap-us-", "m-lap-us-", "m-infer-done",
            ]  # fmt: skip
            laps = [int(text.rpartition("-")[2]) for text in said[3:5]]
            assert laps[1] >= laps[0]
            expected = [int.from_bytes(bytes([b + 1]), "little", signed=True) for b in data]
            assert said[6] == f"m-results-[{','.join(map(str, expected))}]"
            assert ask(line, "results") == said[6:]


def test_a_program_that_is_baked_in_runs_without_being_loaded() -> None:
    data = bytes(range(150)) * 2
    said = f"db load 300%db {data.hex()}%infer 1 0%".encode()
    out, status, report = host_board.answers(said, boards.ROOT / "tests/sim/echo_board/add_one.c")
    assert status == 0, report
    expected = [int.from_bytes(bytes([b + 1]), "little", signed=True) for b in data]
    assert f"m-results-[{','.join(map(str, expected))}]".encode() in out
