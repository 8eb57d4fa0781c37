"""Shared memory of slots: memfds made by the client, and what the daemon demands of one before it maps it.

The seals are what makes sharing safe: without SHRINK a client could cut the file and kill the daemon with
SIGBUS. They do not keep a client from changing a slot while it is read; no kernel may be unsafe whatever it
finds there.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys

from edged_ipc.errors import MemoryRefusedError

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_WRITE_SEALS = fcntl.F_SEAL_WRITE | 0x0010  # F_SEAL_FUTURE_WRITE, which Python does not name


def create(nbytes: int, name: str = "edged-slots") -> int:
    """A sealed memfd of `nbytes`, close-on-exec. The caller closes it; OSError when there is no memory or no
    descriptor for it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, nbytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def map_own(fd: int, nbytes: int) -> mmap.mmap:
    """Maps a memfd of our own, readable and writable by both sides. `fd` stays open."""
    return _map(fd, nbytes)


def _map(fd: int, nbytes: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):  # earlier ones keep a duplicate of fd in every mapping
        return mmap.mmap(fd, nbytes, trackfd=False)
    return mmap.mmap(fd, nbytes)


def map_foreign(fd: int, nbytes: int) -> mmap.mmap:
    """Maps what a client has sent, or says in MemoryRefusedError why not. The caller closes `fd`."""
    check_foreign(fd, nbytes)
    try:
        return _map(fd, nbytes)
    except (OSError, ValueError, OverflowError) as error:
        raise MemoryRefusedError(f"the memory cannot be mapped: {error}") from None


def check_foreign(fd: int, nbytes: int) -> None:
    """Refuses everything but a sealed, writable memfd of exactly `nbytes`, with small pages."""
    if nbytes <= 0:
        raise MemoryRefusedError(f"{nbytes} bytes cannot be shared")
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        raise MemoryRefusedError(
            "the file descriptor is not a memfd", remedy="hand over what memfd_create(2) has made"
        ) from None
    if seals & SEALS != SEALS:
        raise MemoryRefusedError(
            "the memfd is not sealed", remedy="add F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL, in this order"
        )
    if seals & _WRITE_SEALS:
        raise MemoryRefusedError("the memfd is sealed against writing", remedy="outputs are written to it")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
        raise MemoryRefusedError("the file descriptor is not open for reading and writing")
    size = os.fstat(fd).st_size
    if size != nbytes:
        raise MemoryRefusedError(f"the memfd has {size} bytes, {nbytes} were announced")
    if os.fstatvfs(fd).f_bsize != mmap.PAGESIZE:
        raise MemoryRefusedError("memory of huge pages cannot be shared", remedy="leave out MFD_HUGETLB")


def cut(memory: mmap.mmap | memoryview, slot_bytes: int, slots: int) -> list[memoryview]:
    """The slots of a mapping, one view each."""
    whole = memoryview(memory)
    return [whole[i * slot_bytes : (i + 1) * slot_bytes] for i in range(slots)]
