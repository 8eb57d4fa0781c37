"""Sizes of caches as sysfs states them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged_backends import caches


def test_sizes_are_read_as_sysfs_writes_them() -> None:
    assert [caches.parse(size) for size in ("48K", "2048K", "2M", "100")] == [49152, 2 << 20, 2 << 20, 100]
    with pytest.raises(ValueError, match="invalid literal"):
        caches.parse("lots")


def test_the_second_level_is_found_among_others(tmp_path: Path) -> None:
    for index, (level, size) in enumerate([("1", "48K"), ("1", "32K"), ("2", "1024K"), ("3", "64M")]):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "level").write_text(level + "\n")
        (folder / "size").write_text(size + "\n")
    assert caches.l2_bytes(tmp_path) == 1 << 20


def test_without_sysfs_a_size_is_assumed(tmp_path: Path) -> None:
    assert caches.l2_bytes(tmp_path) == caches.L2_BYTES
