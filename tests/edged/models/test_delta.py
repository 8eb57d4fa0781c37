"""Deltas give back the new file, stay small, and whatever a patch holds: bounded bytes, and DeltaError or a
file."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zstandard

from edged.models import delta, patch_from, tensor_diff
from edged.models.delta_errors import DeltaError, DeltaMemoryError


def _patch(folder: Path, algorithm: str, old: bytes, new: bytes) -> tuple[Path, Path]:
    """(base, patch) as files."""
    base, target, patch = folder / "base", folder / "new", folder / "patch"
    base.write_bytes(old)
    target.write_bytes(new)
    with patch.open("wb") as file:
        delta.make(algorithm, base, target, file)
    return base, patch


def _applied(algorithm: str, base: Path, patch: Path, length: int) -> bytes:
    out = io.BytesIO()
    delta.apply(algorithm, base, patch, out, length=length)
    return out.getvalue()


def _weights(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, count).astype(np.float32)


PAIRS = {
    "equal": (b"abc" * 1000, b"abc" * 1000),
    "one byte": (b"a", b"b"),
    "a tail of 3 bytes": (b"\0" * (tensor_diff.BLOCK + 3), b"\0" * tensor_diff.BLOCK + b"xyz"),
    "float weights moved": (_weights(300_000).tobytes(), (_weights(300_000) * np.float32(1.0001)).tobytes()),
    "extremes": (b"\x00\xff\x80\x7f" * 64, b"\xff\x00\x7f\x80" * 64),
}


@pytest.mark.parametrize("algorithm", delta.ALGORITHMS)
@pytest.mark.parametrize("pair", PAIRS)
def test_the_new_file_comes_back(tmp_path: Path, algorithm: str, pair: str) -> None:
    old, new = PAIRS[pair]
    base, patch = _patch(tmp_path, algorithm, old, new)
    assert _applied(algorithm, base, patch, len(new)) == new


@pytest.mark.parametrize("width", tensor_diff.WIDTHS)
def test_every_width_is_undone(width: int) -> None:
    rng = np.random.default_rng(width)
    old, new = rng.bytes(1001), rng.bytes(1001)
    assert tensor_diff.added(old, tensor_diff.difference(old, new, width), width) == new


def test_lengths_that_differ_go_to_zstd_patch(tmp_path: Path) -> None:
    old = _weights(50_000).tobytes()
    new = old[:60_000] + b"another layer" * 100 + old[60_000:]
    assert delta.choose(len(old), len(new)) == ["zstd-patch"]
    base, patch = _patch(tmp_path, "zstd-patch", old, new)
    assert _applied("zstd-patch", base, patch, len(new)) == new
    assert patch.stat().st_size < len(new) // 50
    with pytest.raises(DeltaError, match="differ in length"):
        _patch(tmp_path, "tensor-diff-zstd", old, new)


def test_a_tensor_difference_beats_the_packed_file(tmp_path: Path) -> None:
    old, new = PAIRS["float weights moved"]
    _, patch = _patch(tmp_path, "tensor-diff-zstd", old, new)
    assert patch.stat().st_size < 0.5 * len(zstandard.compress(new, 19))


def test_files_that_share_nothing_cost_no_more_than_the_packed_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    old, new = rng.bytes(400_000), bytes(rng.integers(0, 16, 400_000, dtype=np.uint8))
    _, patch = _patch(tmp_path, "tensor-diff-zstd", old, new)
    assert patch.stat().st_size <= len(zstandard.compress(new, 19)) + 64


def test_memory_decides_who_serves() -> None:
    big = 200 << 20
    assert delta.choose(big, big) == ["tensor-diff-zstd"]
    assert delta.choose(big, big + 4) == []
    assert delta.choose(1000, 1000) == ["tensor-diff-zstd", "zstd-patch"]


def test_a_zstd_patch_over_the_limit_is_refused_by_both_sides(tmp_path: Path) -> None:
    old = _weights(20_000).tobytes()
    base, patch = _patch(tmp_path, "zstd-patch", old, old + b"more")
    out = io.BytesIO()
    with pytest.raises(DeltaMemoryError, match="are allowed"):
        delta.apply("zstd-patch", base, patch, out, 100_000, length=len(old) + 4)
    with pytest.raises(DeltaMemoryError):
        delta.make("zstd-patch", base, base, io.BytesIO(), 100_000)
    assert out.getvalue() == b""


def test_an_unknown_algorithm_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(DeltaError, match="tensor-diff-zstd, zstd-patch"):
        delta.apply("bsdiff", tmp_path / "a", tmp_path / "b", io.BytesIO(), length=1)


def test_a_frame_that_states_gigabytes_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    base, patch = tmp_path / "base", tmp_path / "patch"
    base.write_bytes(b"\0" * 100)
    bomb = zstandard.ZstdCompressor(level=1).compress(b"\0" * (64 << 20))
    patch.write_bytes(struct.pack("<8sQ", tensor_diff.MAGIC, 100) + struct.pack("<BI", 4, len(bomb)) + bomb)
    with pytest.raises(DeltaError):
        _applied("tensor-diff-zstd", base, patch, 100)
    small = zstandard.ZstdCompressor(level=1).compress(b"\0" * 104)
    patch.write_bytes(struct.pack("<8sQ", tensor_diff.MAGIC, 100) + struct.pack("<BI", 4, len(small)) + small)
    with pytest.raises(DeltaError, match="does not unpack to 100 bytes"):
        _applied("tensor-diff-zstd", base, patch, 100)


@pytest.mark.parametrize("log", [25, 27, 30, 41])
def test_a_frame_that_asks_for_a_huge_window_is_refused_before_it_is_given(tmp_path: Path, log: int) -> None:
    base, patch = tmp_path / "base", tmp_path / "patch"
    base.write_bytes(b"base")
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([(log - 10) << 3]) + b"\x01\x00\x00"
    patch.write_bytes(struct.pack("<8sQ", patch_from.MAGIC, 1000) + frame)
    with pytest.raises(DeltaError, match=r"of memory|damaged"):
        delta.apply("zstd-patch", base, patch, io.BytesIO(), length=1000)


def test_what_applying_holds_is_bounded_for_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MiB through the difference, in a process that may not hold 32 MiB more than it does at its start."""
    rng = np.random.default_rng(1)
    old = rng.normal(0, 1, 16 << 20).astype(np.float32).tobytes()
    new = np.frombuffer(old, np.uint32) + rng.integers(0, 3, 16 << 20, dtype=np.uint32)
    base, target, patch = tmp_path / "base", tmp_path / "new", tmp_path / "patch"
    base.write_bytes(old)
    target.write_bytes(new.tobytes())
    monkeypatch.setattr(tensor_diff, "LEVEL", 1)
    with patch.open("wb") as file:
        delta.make("tensor-diff-zstd", base, target, file)
    code = (
        "import resource, sys; from pathlib import Path; from edged.models import delta\n"
        "from edged.models.delta_errors import zstandard; zstandard()\n"
        "held = int(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmData:'))) << 10\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (held + (32 << 20), held + (32 << 20)))\n"
        "with open(sys.argv[3], 'wb') as out:\n"
        "    delta.apply('tensor-diff-zstd', Path(sys.argv[1]), Path(sys.argv[2]), out, length=64 << 20)\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, str(base), str(patch), str(out)]
    subprocess.run(command, check=True, timeout=60)
    assert out.read_bytes() == target.read_bytes()


def test_a_zstd_patch_that_makes_too_much_stops_at_the_length(tmp_path: Path) -> None:
    base, patch = tmp_path / "base", tmp_path / "patch"
    base.write_bytes(b"base")
    stream = zstandard.ZstdCompressor(level=1).compressobj()  # states no size
    bomb = stream.compress(b"\0" * (64 << 20)) + stream.flush()
    patch.write_bytes(struct.pack("<8sQ", patch_from.MAGIC, 1000) + bomb)
    out = io.BytesIO()
    with pytest.raises(DeltaError, match="more than 1000 bytes"):
        delta.apply("zstd-patch", base, patch, out, length=1000)
    assert len(out.getvalue()) <= 1000


def _mutants(patch: bytes, count: int, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    found = [patch[:cut] for cut in (0, 1, 15, 16, 20, 21, 22, len(patch) - 1)] + [patch + b"x"]
    for _ in range(count):
        data = bytearray(patch)
        for _ in range(rng.integers(1, 4)):
            # half of the hits fall on headers, where they do most harm
            where = int(rng.integers(0, len(data) if rng.random() < 0.5 else min(48, len(data))))
            data[where] = int(rng.integers(0, 256))
        found.append(bytes(data))
    return found


def _survive(folder: Path, algorithm: str, count: int) -> None:
    old, new = _weights(700).tobytes(), (_weights(700) * np.float32(1.01)).tobytes()
    base, patch = _patch(folder, algorithm, old, new)
    refused = 0
    for mutant in _mutants(patch.read_bytes(), count, 7):
        patch.write_bytes(mutant)
        out = io.BytesIO()
        try:
            delta.apply(algorithm, base, patch, out, length=len(new))
        except DeltaError:
            refused += 1
        assert len(out.getvalue()) <= len(new)
    assert refused > count // 10


@pytest.mark.parametrize("algorithm", delta.ALGORITHMS)
def test_damaged_patches_end_in_a_delta_error_or_in_a_bounded_file(tmp_path: Path, algorithm: str) -> None:
    _survive(tmp_path, algorithm, 1500)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("algorithm", delta.ALGORITHMS)
def test_many_damaged_patches(tmp_path: Path, algorithm: str) -> None:
    _survive(tmp_path, algorithm, 100_000)
