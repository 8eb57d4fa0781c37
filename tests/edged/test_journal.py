"""Records as journald gets them: fields, values of several lines, records too large for a datagram."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.journal import JournalHandler, Line, say


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """What stands in for journald: its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "journal"))
        sock.settimeout(10)
        yield sock


@pytest.fixture
def handler(journal: socket.socket) -> Iterator[JournalHandler]:
    made = JournalHandler(journal.getsockname())
    yield made
    made.close()


def record(text: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": text, "levelname": "INFO", "levelno": logging.INFO, **extra})
    return made


def fields(data: bytes) -> dict[str, str]:
    """The protocol read back."""
    found = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + length], data[8 + length + 1 :]
        found[name.decode()] = value.decode()
    return found


def test_fields(journal: socket.socket, handler: JournalHandler) -> None:
    handler.emit(record("late", model="digits", request=7, client="pid 1, uid 2", code="EXPIRED"))
    seen = fields(journal.recv(1 << 16))
    assert seen["MESSAGE"] == "late"
    assert seen["PRIORITY"] == "6"
    assert seen["EDGED_MODEL"] == "digits"
    assert seen["EDGED_REQUEST"] == "7"
    assert seen["EDGED_CLIENT"] == "pid 1, uid 2"
    assert seen["EDGED_CODE"] == "EXPIRED"
    assert "EDGED_DEVICE" not in seen


def test_a_value_cannot_forge_a_field(journal: socket.socket, handler: JournalHandler) -> None:
    text = "two\nPRIORITY=0\nEDGED_MODEL=forged"
    handler.emit(record(text, model="digits"))
    seen = fields(journal.recv(1 << 16))
    assert (seen["MESSAGE"], seen["PRIORITY"], seen["EDGED_MODEL"]) == (text, "6", "digits")


def test_a_record_too_large_for_a_datagram_goes_in_a_sealed_memfd(journal: socket.socket, handler: JournalHandler) -> None:
    text = "x" * (1 << 22)
    handler.emit(record(text))
    data, fds, _, _ = socket.recv_fds(journal, 1 << 16, 1)
    assert data == b""
    with os.fdopen(fds[0], "rb") as file:
        with pytest.raises(PermissionError):
            os.ftruncate(fds[0], 0)
        file.seek(0)
        assert fields(file.read())["MESSAGE"] == text


def test_without_a_journal_it_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = JournalHandler(str(tmp_path / "nobody"))
    try:
        handler.emit(record("here", device="cpu"))
    finally:
        handler.close()
    assert capsys.readouterr().err == "edged: info: here [device=cpu]\n"


def test_a_line_carries_its_fields(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("edged"), "propagate", True)
    with caplog.at_level(logging.INFO, "edged"):
        say(Line("swapped", model="digits", version="2"))
        say("plain")
    swapped, plain = caplog.records
    assert (swapped.model, swapped.version) == ("digits", "2")  # type: ignore[attr-defined]
    assert not hasattr(plain, "model")
