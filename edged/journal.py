"""Structured logs: to journald with fields where it is there, else to stderr in one line.

Source of the native protocol: systemd's "Native Journal Protocol": KEY=value lines in a datagram; values with
newlines as KEY, newline, 64-bit little-endian length, value; what is too large for a datagram in a sealed
memfd.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import struct
import sys

SOCKET = "/run/systemd/journal/socket"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FIELDS = ("model", "request", "device", "client", "version", "code")
"""What a record may carry in `extra`; in the journal EDGED_MODEL, EDGED_REQUEST, ..."""

log = logging.getLogger("edged")


class Line(str):
    """A line for the log that carries fields for the journal; a plain string to everybody else."""

    __slots__ = ("fields",)
    fields: dict[str, str]

    def __new__(cls, text: str, **fields: str) -> Line:
        made = super().__new__(cls, text)
        made.fields = fields
        return made


def say(text: str) -> None:
    """Logs a line, with its fields if it is a Line."""
    log.info("%s", text, extra=getattr(text, "fields", None))


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def _extras(record: logging.LogRecord) -> dict[str, str]:
    return {name: str(getattr(record, name)) for name in FIELDS if getattr(record, name, None) is not None}


class JournalHandler(logging.Handler):
    """Sends records to journald. A record that it does not take (no journal) goes to stderr."""

    def __init__(self, address: str = SOCKET) -> None:
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._spare = StderrHandler()

    def emit(self, record: logging.LogRecord) -> None:
        lines = {
            "MESSAGE": record.getMessage(),
            "PRIORITY": str(_PRIORITY.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": "edged",
            "CODE_FUNC": record.funcName or "",
            **{f"EDGED_{name.upper()}": value for name, value in _extras(record).items()},
        }
        try:
            self._send(b"".join(_field(k, v) for k, v in lines.items()))
        except OSError:
            self._spare.emit(record)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendto(data, self._address)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            with os.fdopen(os.memfd_create("edged-journal", os.MFD_ALLOW_SEALING), "wb") as file:
                file.write(data)
                file.flush()
                fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, SEALS)
                passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", file.fileno()))
                self._socket.sendmsg([b""], [passed], 0, self._address)  # send_fds() forgets the address

    def close(self) -> None:
        self._socket.close()
        super().close()


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """level: message, and the fields behind it."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def format(self, record: logging.LogRecord) -> str:
        extras = " ".join(f"{k}={v}" for k, v in _extras(record).items())
        text = f"edged: {record.levelname.lower()}: {record.getMessage()}"
        return f"{text} [{extras}]" if extras else text


def set_up(level: str) -> None:
    """Logs of `level` and above: to the journal when systemd connected our stderr to it, else to stderr."""
    handler: logging.Handler = StderrHandler()
    if os.environ.get("JOURNAL_STREAM") and os.path.exists(SOCKET):
        handler = JournalHandler()
    log.handlers[:] = [handler]
    log.setLevel(LEVELS.get(level, logging.INFO))
    log.propagate = False
