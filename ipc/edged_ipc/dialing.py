"""How a client gets to its daemon, and the words for when it does not, or does not any more."""

from __future__ import annotations

import errno
import socket
import struct

from edged_ipc import messages as m
from edged_ipc.codes import Code
from edged_ipc.errors import IpcError, NotConnectedError, UnknownOutcomeError, from_wire

_TIMEVAL = struct.Struct("@ll")


def dial(path: str, timeout: float) -> socket.socket:
    """A connected socket, or NotConnectedError with what to do."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # SO_SNDTIMEO and not settimeout: a non-blocking connect fails at once when many clients queue
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(timeout), int(timeout % 1 * 1e6))
        )
        sock.connect(path)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(0, 0))
    except OSError as error:
        sock.close()
        raise unreachable(path, error) from None
    return sock


def unreachable(path: str, error: OSError) -> NotConnectedError:
    """The words for a connect that failed."""
    remedies = {
        FileNotFoundError: "start edged, or say where it listens: connect(path) or $EDGED_SOCKET",
        ConnectionRefusedError: "edged has stopped: start it",
        PermissionError: "ask for access to this socket (a group?), or use another one",
        BlockingIOError: "edged does not accept connections: is it overloaded or stopped?",
    }
    if isinstance(error, TimeoutError):
        error = BlockingIOError(errno.EAGAIN, "no answer in time")
    reason = error.strerror or str(error)
    return NotConnectedError(f"no edged at {path}: {reason}", remedy=remedies.get(type(error), ""))


def lost(goodbye: m.Goodbye | None, error: IpcError | None) -> IpcError:
    """What a request under way is told when the connection ends."""
    if goodbye is not None and goodbye.code not in (Code.BAD_FRAME, Code.UNKNOWN_OUTCOME):
        return from_wire(goodbye.code, goodbye.message, goodbye.remedy)
    why = goodbye.message if goodbye is not None else str(error or "the daemon has closed the connection")
    return UnknownOutcomeError(
        f"the connection was lost with this request under way: {why}",
        remedy="it may have been run, or not: repeat it only if that does no harm",
    )
