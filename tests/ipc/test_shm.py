"""What the daemon maps, and all that it refuses to."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged_ipc import shm
from edged_ipc.errors import MemoryRefusedError


@pytest.fixture
def own() -> Iterator[int]:
    fd = shm.create(4096)
    yield fd
    os.close(fd)


def test_both_sides_see_the_same(own: int) -> None:
    ours, theirs = shm.map_own(own, 4096), shm.map_foreign(own, 4096)
    ours[10:13] = b"abc"
    assert theirs[10:13] == b"abc"
    theirs[0:1] = b"z"
    assert ours[0:1] == b"z"


def test_it_cannot_be_cut_off(own: int) -> None:
    """The control of the seals: a mapping of what can be truncated would end the daemon by SIGBUS."""
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(own, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(own, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def memfd(seals: int, size: int = 4096, flags: int = os.MFD_ALLOW_SEALING) -> int:
    fd = os.memfd_create("test", flags)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def regular(folder: Path) -> int:
    (folder / "file").write_bytes(bytes(4096))
    return os.open(folder / "file", os.O_RDWR)


def read_only(_: Path) -> int:
    fd = shm.create(4096)
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    finally:
        os.close(fd)


REFUSED = {
    "regular file": (regular, "not a memfd"),
    "unlinked file": (lambda folder: os.open(folder, os.O_TMPFILE | os.O_RDWR), "not a memfd|not sealed"),
    "pipe": (lambda _: os.pipe()[0], "not a memfd"),
    "device": (lambda _: os.open("/dev/zero", os.O_RDWR), "not a memfd"),
    "unsealed": (lambda _: memfd(0), "not sealed"),
    "growable": (lambda _: memfd(fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL), "not sealed"),
    "shrinkable": (lambda _: memfd(fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL), "not sealed"),
    "more seals may come": (lambda _: memfd(fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK), "not sealed"),
    "no writing": (lambda _: memfd(shm.SEALS | fcntl.F_SEAL_WRITE), "against writing"),
    "no writing later": (lambda _: memfd(shm.SEALS | 0x10), "against writing"),
    "read only": (read_only, "reading and writing"),
    "too small": (lambda _: shm.create(4095), "4095 bytes"),
    "too large": (lambda _: shm.create(8192), "8192 bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    make, text = REFUSED[name]
    fd = make(tmp_path)
    try:
        with pytest.raises(MemoryRefusedError, match=text):
            shm.map_foreign(fd, 4096)
    finally:
        os.close(fd)


def test_huge_pages_are_refused() -> None:
    """Where the kernel has none to give, it is not asked."""
    try:
        fd = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_HUGETLB)
    except OSError as error:
        pytest.skip(f"this kernel makes no memfd of huge pages: {error}")
    try:
        os.ftruncate(fd, 2 << 20)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, shm.SEALS)
        with pytest.raises(MemoryRefusedError, match="huge pages"):
            shm.map_foreign(fd, 2 << 20)
    finally:
        os.close(fd)


@pytest.mark.parametrize("nbytes", [0, -1])
def test_no_bytes(own: int, nbytes: int) -> None:
    with pytest.raises(MemoryRefusedError):
        shm.map_foreign(own, nbytes)


def test_cut() -> None:
    memory = mmap.mmap(-1, 4096)
    views = shm.cut(memory, 128, 3)
    views[1][0] = 7
    assert memory[128] == 7
    assert [len(v) for v in views] == [128] * 3
    with pytest.raises(BufferError):
        memory.close()
    views.clear()
    memory.close()
