"""A serial port: bytes in, bytes out, with time limits. Opened by pyserial, which knows baud rates and locks;
read and written with poll, so that nothing ever blocks for longer than it may.

Knows no frames and no board.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import termios
from contextlib import suppress
from time import monotonic

from edged.errors import LinkError

CHUNK = 4096


class Port:
    """One open port. LinkError when it cannot be opened, and when it is gone."""

    def __init__(self, path: str, baud: int) -> None:
        try:
            import serial
        except ImportError:
            raise LinkError("boards need the package pyserial", remedy="pip install 'edged[mcu]'") from None
        self.path = path
        try:
            self._serial = serial.Serial(path, baud, timeout=0, exclusive=True)
        except (OSError, ValueError, OverflowError, termios.error) as error:  # SerialException is an OSError
            raise LinkError(
                f"{path} cannot be opened: {_words(error)}", remedy=_remedy(path, error)
            ) from None
        self._fd: int = self._serial.fileno()

    def read(self, seconds: float) -> bytes:
        """What has arrived, waiting for it for at most `seconds`; b"" when nothing did."""
        try:
            if not self._ready(select.POLLIN, seconds):
                return b""
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise LinkError(f"{self.path} is gone: {error}") from None
        if not data:
            raise LinkError(f"{self.path} is gone: it was unplugged")
        return data

    def write(self, data: bytes, seconds: float) -> None:
        """All of `data`. LinkError when the line does not take it within `seconds`."""
        left, end = memoryview(data), monotonic() + seconds
        while left:
            try:
                if not self._ready(select.POLLOUT, end - monotonic()):
                    raise LinkError(f"{self.path} takes no bytes: the board or its adapter stands still")
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                continue
            except (OSError, ValueError) as error:
                raise LinkError(f"{self.path} is gone: {error}") from None

    def _ready(self, event: int, seconds: float) -> bool:
        """Can it be read or written? (select ends at descriptor 1023, a busy daemon does not.)"""
        wait = select.poll()
        wait.register(self._fd, event)
        return bool(wait.poll(max(0.0, seconds) * 1000))

    def close(self) -> None:
        with suppress(OSError):
            self._serial.close()


def _words(error: Exception) -> str:
    """What happened, once: pyserial repeats the path and the number."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


def _remedy(path: str, error: Exception) -> str:
    if not os.path.exists(path):
        return "plug the board in, or correct [[mcu]] port"
    if not stat.S_ISCHR(os.stat(path).st_mode):
        return "it is no serial port: correct [[mcu]] port"
    if not os.access(path, os.R_OK | os.W_OK):
        return "sudo usermod -aG dialout edged"
    if getattr(error, "errno", None) in (errno.EAGAIN, errno.EBUSY):
        return "another program has it open, or another [[mcu]] names the same board"
    return "is it a serial port, and does its adapter know [[mcu]] baud?"
