"""sd_notify: telling systemd how the daemon is. Does nothing when systemd did not start it.

Source of the protocol: sd_notify(3). A datagram of VARIABLE=value lines to the Unix socket in $NOTIFY_SOCKET.
"""

from __future__ import annotations

import os
import socket


class Notifier:
    """READY, STATUS, WATCHDOG, STOPPING. `watchdog_seconds` is how often systemd wants to hear, 0 for
    never."""

    def __init__(self, address: str | None, watchdog_usec: str | None = None) -> None:
        self.watchdog_seconds = int(watchdog_usec) / 1e6 if watchdog_usec and watchdog_usec.isdigit() else 0.0
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._address = "\0" + address[1:] if address.startswith("@") else address

    def send(self, *lines: str) -> bool:
        """Sends the lines; False when nobody listens (which never stops the daemon)."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def ready(self, status: str) -> None:
        self.send("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self.send(f"STATUS={status}")

    def alive(self) -> None:
        self.send("WATCHDOG=1")

    def reloading(self, monotonic_usec: int) -> None:
        self.send("RELOADING=1", f"MONOTONIC_USEC={monotonic_usec}")

    def stopping(self) -> None:
        self.send("STOPPING=1", "STATUS=draining")


def from_environment() -> Notifier:
    """The notifier that systemd asked for; its variables are taken away so that children do not speak for the
    daemon."""
    watchdog = os.environ.pop("WATCHDOG_USEC", None)
    pid = os.environ.pop("WATCHDOG_PID", None)
    if pid is not None and pid != str(os.getpid()):
        watchdog = None
    return Notifier(os.environ.pop("NOTIFY_SOCKET", None), watchdog)


def listen_fds() -> dict[str, int]:
    """Sockets that systemd hands over (sd_listen_fds(3)), by name; none when it did not."""
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "0")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    found = {}
    for index in range(int(count)):
        fd = 3 + index
        os.set_inheritable(fd, False)
        found[names[index] if index < len(names) and names[index] else f"fd{fd}"] = fd
    return found
