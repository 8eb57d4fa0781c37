"""How large this machine's caches are: as the kernel's sysfs says."""

from __future__ import annotations

from functools import cache
from pathlib import Path

L2_BYTES = 512 * 1024
"""Assumed where nothing says otherwise (a container without sysfs)."""
CPU0 = Path("/sys/devices/system/cpu/cpu0/cache")


@cache
def l2_bytes(folder: Path = CPU0) -> int:
    """Bytes of the first core's second-level cache."""
    for index in sorted(folder.glob("index*")):
        try:
            level, size = ((index / name).read_text().strip() for name in ("level", "size"))
            if level == "2":
                return parse(size)
        except (OSError, ValueError):
            continue
    return L2_BYTES


def parse(size: str) -> int:
    """Bytes of sysfs' "2048K" or "2M". ValueError for anything else."""
    factor = {"K": 1 << 10, "M": 1 << 20}.get(size[-1:], 1)
    return int(size[:-1] if factor > 1 else size) * factor
