"""QEMU's control socket (QMP): one command, one answer. Events are skipped.

Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
"""

from __future__ import annotations

import json
import socket
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from edged.errors import LinkError

MAX_LINE = 1 << 20


class Qmp:
    """A connection, ready for commands. LinkError when QEMU is gone or refuses."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._socket = connect(path, timeout)
        self._lines = self._socket.makefile("rb")
        try:
            self._read()  # the greeting
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def execute(self, command: str, **arguments: Any) -> Any:
        """What QEMU returns for one command."""
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise LinkError(f"QEMU is gone: {error}") from None
        while True:
            answer = self._read()
            if "error" in answer:
                raise LinkError(f"QEMU refused {command}: {answer['error'].get('desc', answer['error'])}")
            if "return" in answer:
                return answer["return"]

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline(MAX_LINE)
        except OSError as error:
            raise LinkError(f"QEMU does not answer: {error}") from None
        if not line.endswith(b"\n"):
            raise LinkError("QEMU closed its control socket")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def connect(path: Path, timeout: float) -> socket.socket:
    """A Unix socket that a process just started is about to open. LinkError after `timeout` seconds."""
    end = monotonic() + timeout
    while True:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(timeout)
        try:
            made.connect(str(path))
            return made
        except (FileNotFoundError, ConnectionRefusedError):
            made.close()
            if monotonic() > end:
                raise LinkError(f"nobody opened {path} within {timeout:.0f} s") from None
            sleep(0.005)  # a process that starts gives no event that could be waited for
