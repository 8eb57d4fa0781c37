"""A Debian with a real systemd as PID 1, for tests of units and packages: systemd-nspawn over a copy-on-write view of this machine's own root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from support.daemon import die_with_parent

BOOT_SECONDS, COMMAND_SECONDS = 60.0, 90.0
TOOLS = ("systemd-nspawn", "nsenter", "mount")


class Container:
    """A booted container. `root` is its file system as seen from here."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.root = folder, folder / "root"
        self.console = (folder / "console").open("wb")
        command = [
            "systemd-nspawn", "-q", "-D", str(self.root), "--boot", "--register=no", "--keep-unit", "-M", name,
            "--private-network", "--console=pipe", "systemd.unit=multi-user.target",
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        self.init = 0
        self._wait_for_boot()

    def _wait_for_boot(self) -> None:
        end = monotonic() + BOOT_SECONDS
        while monotonic() < end and self.process.poll() is None:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                self.init = int(children[0])
                state = self.try_("systemctl", "is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    return
            sleep(0.1)
        text = (self.folder / "console").read_text(errors="replace")[-2000:]
        self.end()
        pytest.skip(f"systemd does not boot in a container on this machine: {text}")

    def _entering(self, *command: str) -> list[str]:
        """`command` inside, as root, with nothing of this process's environment."""
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        return ["nsenter", "-t", str(self.init), "-a", "-r", "-w", "--", "env", "-i", path, *command]

    def try_(self, *command: str, timeout: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        """A command in the container, as root, whatever its exit status."""
        return subprocess.run(self._entering(*command), capture_output=True, text=True, timeout=timeout)

    def run(self, *command: str, timeout: float = COMMAND_SECONDS) -> str:
        """A command that must succeed; what it printed."""
        done = self.try_(*command, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command that runs on."""
        return subprocess.Popen(
            self._entering(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=die_with_parent,
        )

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "-p", name, "--value", unit).strip()

    def until(self, condition: object, what: str, seconds: float = 30.0) -> None:
        """Waits for `condition()` to be true."""
        assert callable(condition)
        end = monotonic() + seconds
        while not condition():
            assert monotonic() < end, f"{what} did not come true; the journal: {self.journal()[-3000:]}"
            sleep(0.05)

    def journal(self, *options: str) -> str:
        return self.try_("journalctl", "-u", "edged.service", "--no-pager", *options).stdout

    def end(self) -> None:
        """Pulls the plug."""
        if self.init:
            os.kill(self.init, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.console.close()


@contextmanager
def booted(folder: Path, name: str) -> Iterator[Container]:
    """A container for the length of a `with`. Skips with the reason where this machine cannot."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a container takes root and {', '.join(TOOLS)}; missing: {', '.join(missing) or 'root'}")
    disk = folder / "disk"
    for part in (disk, folder / "root"):
        part.mkdir()
    mounts: list[Path] = []
    try:
        _mount(mounts, disk, "-t", "tmpfs", "-o", "mode=755", "tmpfs")
        (disk / "upper").mkdir()
        (disk / "work").mkdir()
        layers = f"lowerdir=/,upperdir={disk}/upper,workdir={disk}/work"
        _mount(mounts, folder / "root", "-t", "overlay", "-o", layers, "overlay")
        for odd in ("etc/machine-id", "usr/sbin/policy-rc.d"):  # images that are built have one, gateways do not
            (folder / "root" / odd).unlink(missing_ok=True)
        for left in ("var/lib/edged", "var/cache/edged", "etc/edged"):  # of this machine's own daemon
            shutil.rmtree(folder / "root" / left, ignore_errors=True)
        container = Container(folder, name)
        try:
            yield container
        finally:
            container.end()
    finally:
        for place in reversed(mounts):
            subprocess.run(["umount", "--lazy", str(place)], check=False)


def _mount(mounts: list[Path], place: Path, *options: str) -> None:
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine may not mount: {done.stderr.strip()}")
    mounts.append(place)
