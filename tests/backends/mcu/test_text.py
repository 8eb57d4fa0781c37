"""MLPerf Tiny's text protocol: what its runner sends is answered, beside frames, and no text harms the firmware."""

from __future__ import annotations

import hashlib
import random
import re
from pathlib import Path

import numpy as np
import pytest
import serial

from edged.backend import Subgraph
from edged.graph.evaluate import Evaluation
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu import messages
from edged_backends.mcu.codegen import generate, write
from edged_backends.mcu.frame import Frames, frame
from edged_backends.mcu.messages import HEADER, NEWEST, REPLY, Kind
from edged_backends.mcu.rig.firmware import RUNTIME
from support import boards, host_board, paced_board
from support.small_models import chain

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
    asked = frame(HEADER.pack(NEWEST, Kind.IDENTIFY, 0x2525, 0) + b"%%")
    out, status, report = host_board.answers(asked + b"name%" + asked)
    assert status == 0, report
    assert out.count(b"m-name-dut") == 1
    assert out.count(bytes([NEWEST, Kind.IDENTIFY | REPLY, 0x25, 0x25])) == 2


def test_floats_announced_for_one_program_are_not_kept_for_another() -> None:
    """Of the same size, and one does not tell what its numbers mean."""
    with paced_board.PacedBoard(paced_board.build(chain(layers=2))) as machine:
        telling = machine.descriptors[1]
        silent = telling[:-8] + bytes(8)  # its last field, `ends`
        size = int(chain(layers=2).main.inputs[0].nbytes)

        def load(image: bytes, seq: int) -> None:
            write = messages.WRITE.pack(messages.SLOT_AREA, 0) + image
            seal = messages.SEAL.pack(len(image), hashlib.sha256(image).digest())
            said = machine.step(
                frame(HEADER.pack(NEWEST, Kind.WRITE, seq, 0) + write)
                + frame(HEADER.pack(NEWEST, Kind.SEAL, seq + 1, 0) + seal)
            )
            assert [HEADER.unpack_from(c)[1] for c in Frames(4096).receive(said)] == [
                Kind.WRITE | REPLY,
                Kind.SEAL | REPLY,
            ]

        load(telling, 1)
        assert b"m-[Expecting" in machine.step(b"db load %d%%" % (4 * size))
        load(silent, 3)
        assert b"e-[More bytes" in machine.step(b"db 0000803f%")


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


MODEL = chain(layers=2)
Q_IN, Q_OUT = MODEL.main.inputs[0].quantization, MODEL.main.outputs[0].quantization


def dialogue(data: bytes, folder: Path, name: str) -> tuple[dict[str, str], list[float], list[int]]:
    """What the public host script asks (benchmark/runner of mlcommons/tiny: name, profile, `db` in pieces of 31 bytes,
    `infer`) and how it reads the answers, by its own patterns: who the device is, the results, the laps."""
    made = optimise(MODEL)
    code = generate(
        Subgraph(made.main, made), "generic", name, program_header=(RUNTIME / "program.h").read_bytes()
    )
    write(code, folder)
    pieces = "".join(f"db {data[at : at + 31].hex()}%" for at in range(0, len(data), 31))
    said = f"name%profile%db load {len(data)}%{pieces}infer 3 0%".encode()
    out, status, report = host_board.answers(said, *(folder / f for f in code.files if f.endswith(".c")))
    assert status == 0, report
    text = out.rpartition(b"\0")[2].decode().replace("\r", "").split("\n")
    facts = dict(
        found.groups()
        for line in text
        if (
            found := re.match(r"^m-(name)-dut-\[([^]]+)]$", line)
            or re.match(r"^m-(model|profile)-\[([^]]+)]$", line)
        )
    )
    (results,) = [found for line in text if (found := re.match(r"^m-results-\[([^]]+)\]$", line))]
    laps = [int(found[1]) for line in text if (found := re.match(r"^m-lap-us-([0-9]+)$", line))]
    assert sum("m-ready" in line for line in text) == 4 + pieces.count("%"), "one for each command"
    assert not [line for line in text if line.startswith("e-")]
    return facts, [float(x) for x in results[1].split(",")], laps


def wanted() -> tuple[list[np.ndarray], np.ndarray]:
    """The inputs, and the values that the outputs mean."""
    assert Q_OUT is not None
    inputs = seeded(MODEL.main.inputs, 4)
    (out,) = Evaluation(MODEL).run(inputs).values()
    return inputs, (out.astype(float).reshape(-1) - Q_OUT.zero_point) * Q_OUT.scale


def test_the_public_runner_finds_its_script_and_reads_values(tmp_path: Path) -> None:
    inputs, values = wanted()
    facts, results, laps = dialogue(inputs[0].tobytes(), tmp_path, "kws01")
    assert facts == {"name": "host", "model": "kws01", "profile": "edged"}
    np.testing.assert_allclose(results, values, atol=1e-6 + 1e-6 * np.abs(values).max())
    assert len(laps) == 2
    assert laps[1] > laps[0]


def test_floats_become_int8_and_the_anomaly_detector_answers_its_score(tmp_path: Path) -> None:
    assert Q_IN is not None
    inputs, values = wanted()
    real = (inputs[0].astype(np.float32).reshape(-1) - Q_IN.zero_point) * np.float32(Q_IN.scale)
    _, results, _ = dialogue(real.astype("<f4").tobytes(), tmp_path / "a", "kws01")
    np.testing.assert_allclose(results, values, atol=1e-6 + 1e-6 * np.abs(values).max())
    _, (score,), _ = dialogue(real.astype("<f4").tobytes(), tmp_path / "b", "ad01")
    assert score == pytest.approx(np.mean((real - values) ** 2), rel=1e-4)


@pytest.mark.parametrize("name", ["ic01", "vww01"])
def test_the_files_of_image_models_are_pixels(name: str, tmp_path: Path) -> None:
    """From 0 to 255, as in the benchmark's data sets; its reference takes 128 off, too."""
    inputs, values = wanted()
    pixels = (inputs[0].astype(np.int16) + 128).astype(np.uint8)
    _, results, _ = dialogue(pixels.tobytes(), tmp_path, name)
    np.testing.assert_allclose(results, values, atol=1e-6 + 1e-6 * np.abs(values).max())


def test_floats_that_no_int8_can_hold_are_cut(tmp_path: Path) -> None:
    """Also NaN and infinity, under the sanitizers."""
    x = np.array([1e30, -1e30, np.inf, -np.inf, np.nan, 0, 1e-30, -1e-30], "<f4")
    stored = np.array([[127, -128, 127, -128, -128, *[Q_IN.zero_point if Q_IN else 0] * 3]], np.int8)
    _, results, _ = dialogue(x.tobytes(), tmp_path / "a", "kws01")
    _, same, _ = dialogue(stored.tobytes(), tmp_path / "b", "kws01")
    assert results == same
