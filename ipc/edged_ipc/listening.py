"""Unix sockets to listen on, and who is at the other end of one."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from edged_ipc.errors import IpcError
from edged_ipc.service import Peer

LOCK_SECONDS = 2.0
_SO_PEERGROUPS = 59
_MOST_GROUPS = 256
_UCRED = struct.Struct("iII")


class ListenError(IpcError):
    """The socket cannot be listened on."""


def bind(
    path: str | Path, mode: int = 0o666, *, group: int | None = None, backlog: int = 128
) -> socket.socket:
    """A listening socket at `path`. A file left behind by a daemon that has died is replaced; one that
    somebody answers on is not (ListenError)."""
    name = os.fspath(path)
    if len(os.fsencode(name)) > 107:
        raise ListenError(f"{name}: a socket's path may have 107 bytes", remedy="choose a shorter one")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _alone(name):
            _clear(name)
            _bind(sock, name, mode, group)
            sock.listen(backlog)
    except ListenError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise ListenError(f"cannot listen on {name}: {error.strerror}") from None
    return sock


def _bind(sock: socket.socket, name: str, mode: int, group: int | None) -> None:
    old = os.umask(0o777 & ~mode)
    try:
        sock.bind(name)
        if group is not None:
            os.chown(name, -1, group)
        os.chmod(name, mode)
    finally:
        os.umask(old)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process at a time looks at a socket's file and replaces it: between bind and listen nobody answers
    on a living one either. The folder is what is locked, so nothing is left behind; whoever sits on that lock
    for long has another purpose with it."""
    folder = os.open(os.path.dirname(name) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end = monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > end:
                    break
                sleep(0.01)
        yield
    finally:
        os.close(folder)


Identity = tuple[int, int, int]
"""Device, inode, and when it was made: inodes are used again at once."""


def identity(path: str | Path) -> Identity:
    """Which file a path is now, for `withdraw`."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_mtime_ns


def withdraw(path: str | Path, made: Identity) -> None:
    """Removes a socket's file, if it is still the one that was `made`: another daemon may listen there by
    now."""
    name = os.fspath(path)
    with suppress(FileNotFoundError), _alone(name):
        if identity(name) == made:
            os.unlink(name)


def adopt(fd: int, name: str = "") -> socket.socket:
    """A socket that somebody else listens on for us (systemd). ListenError when it is not such a one."""
    sock = socket.socket(fileno=fd)
    listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.family != socket.AF_UNIX or sock.type != socket.SOCK_STREAM or not listening:
        sock.detach()
        raise ListenError(
            f"file descriptor {fd} {name} is not a listening Unix stream socket", remedy="see ListenStream="
        )
    return sock


def _clear(name: str) -> None:
    """Removes a socket file that nobody answers on."""
    if not Path(name).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            os.unlink(name)
            return
        except OSError as error:
            raise ListenError(f"{name} exists and cannot be tried: {error}") from None
    raise ListenError(f"somebody listens on {name} already", remedy="is another daemon running?")


def peer_of(sock: socket.socket, listener: str) -> Peer:
    """Credentials as they were at connect: SO_PEERCRED and SO_PEERGROUPS, unix(7) and socket(7)."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MOST_GROUPS)
    except OSError:  # more groups than fit, or a kernel before 4.13: the primary group alone counts
        raw = b""
    groups = struct.unpack(f"{len(raw) // 4}I", raw)
    return Peer(pid, uid, gid, groups, listener)
