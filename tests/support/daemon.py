"""A real daemon process for tests: started with a folder of its own, awaited by its READY, ended with the test."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edged_ipc import connect
from edged_ipc.client import Client

READY_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """For preexec_fn: the child is killed when the test process ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class RunningDaemon:
    """One daemon process. `restart` ends it and starts another in the same folder."""

    def __init__(self, folder: Path, config: str = "", environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.config = folder / "edged.toml"
        self.config.write_text(f'[daemon]\nruntime_dir = "{folder}"\nstate_dir = "{folder}/state"\n{config}')
        self.environment = dict(environment or {})
        self.process = self.start()

    @property
    def socket(self) -> Path:
        return self.folder / "edged.sock"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> subprocess.Popen[bytes]:
        """Starts a daemon and returns when it says READY."""
        address = self.folder / "notify"
        address.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
            (self.folder / "log").open("ab") as log,
        ):
            notify.bind(str(address))
            notify.settimeout(READY_SECONDS)
            command = [sys.executable, "-m", "edged", "--config", str(self.config), "run"]
            env = {**os.environ, **self.environment, "NOTIFY_SOCKET": str(address)}
            env.setdefault("XDG_CACHE_HOME", str(self.folder / "cache"))
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=env, preexec_fn=die_with_parent
            )
            while b"READY=1" not in notify.recv(4096):
                assert self.process.poll() is None, self.log
        return self.process

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the daemon; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def restart(self, number: int = signal.SIGKILL) -> None:
        self.stop(number)
        self.start()

    def connect(self, **options: object) -> Client:
        """A client of the apps' socket."""
        return connect(str(self.socket), **options)  # type: ignore[arg-type]

    def control(self, command: str, /, **body: object) -> dict[str, object]:
        """One control message."""
        with connect(str(self.folder / "control.sock")) as client:
            answer: dict[str, object] = client.control(command, body)
            return answer

    def fds(self) -> int:
        """Open file descriptors of the daemon."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def maps(self) -> int:
        """Mappings of clients' slots."""
        return Path(f"/proc/{self.process.pid}/maps").read_text().count("memfd:edged-slots")

    def rss(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )


@contextmanager
def running(
    folder: Path, config: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[RunningDaemon]:
    """A daemon for the length of a `with`. Fails the test when it did not end in order."""
    daemon = RunningDaemon(folder, config, environment)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            status = daemon.stop()
            assert status == 0, daemon.log
