"""Golden frames, read by both halves of the link: frame.py packs and opens them, the firmware answers them byte for byte."""

from __future__ import annotations

from pathlib import Path

from edged_backends.mcu.frame import Frames, frame
from support import host_board

FILE = Path(__file__).resolve().parents[2] / "golden" / "link" / "frames.txt"


def golden(side: str) -> list[tuple[bytes, bytes]]:
    """(frame, content) of one side, in order."""
    rows = [line.split() for line in FILE.read_text().splitlines() if line.startswith(side)]
    return [(bytes.fromhex(packed), bytes.fromhex(content)) for _, packed, content in rows]


def test_python_packs_and_opens_them() -> None:
    rows = golden(">") + golden("<")
    assert len(rows) == 20
    for packed, content in rows:
        assert frame(content) == packed
        assert Frames(4096).receive(packed) == [content]


def test_the_firmware_answers_them() -> None:
    out, status, report = host_board.answers(b"".join(packed for packed, _ in golden(">")))
    assert status == 0, report
    assert out.split(b"\0")[2:-1] == [packed[:-1] for packed, _ in golden("<")]
