"""A small ext4 disk in a file, mounted by loop, whose power can be cut: what was not synced is gone, as ext4
sees it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
MIB = 1 << 20


class Disk:
    """The disk, mounted at `folder`/disk. The test is skipped, with the reason, where mounting is not
    permitted."""

    def __init__(self, folder: Path, options: str = "", size: int = 64 * MIB) -> None:
        self.image, self.mount, self.options = folder / "disk.img", folder / "disk", options
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size)
        tool = shutil.which("mkfs.ext4", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if tool is None:
            pytest.skip("no mkfs.ext4 here: install e2fsprogs")
        subprocess.run([tool, "-q", "-F", "-m", "0", str(self.image)], check=True)
        done = self._mount()
        if done.returncode:
            pytest.skip(f"an ext4 image cannot be mounted here: {done.stderr.strip()}")
        self.mounted = True

    def _mount(self) -> subprocess.CompletedProcess[str]:
        options = ",".join(filter(None, ["loop", self.options]))
        command = ["mount", "-t", "ext4", "-o", options, str(self.image), str(self.mount)]
        return subprocess.run(command, capture_output=True, text=True)

    def cut(self) -> None:
        """The power goes: the journal is not flushed, no later write arrives."""
        descriptor = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH.to_bytes(4, "little"))
        finally:
            os.close(descriptor)

    def restart(self) -> None:
        """Power again: the journal is replayed. Another process's mount namespace, copied a moment ago, may
        still hold the dead file system, and mounting the image would join it: then a copy of the image is
        mounted."""
        self.unmount()
        for number in range(5):
            done = self._mount()
            assert done.returncode == 0, done.stderr
            self.mounted = True
            if "shutdown" not in self._state():
                return
            self.unmount()
            copy = self.image.with_name(f"{number}.{self.image.name}"[-40:])
            subprocess.run(["cp", "--sparse=always", str(self.image), str(copy)], check=True)
            self.image = copy
        raise AssertionError(f"{self.mount} cannot be mounted anew")

    def _state(self) -> str:
        """The options of the mount, as the kernel has them."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        return next(line.split()[3] for line in lines if line.split()[1] == str(self.mount))

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.mount)], check=True)
        self.mounted = False

    def read_only(self, on: bool) -> None:
        """Mounted read-only, or writable again."""
        subprocess.run(["mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.mount)], check=True)

    def close(self) -> None:
        if self.mounted:
            self.unmount()
