"""Deltas of two files of one length as differences of elements: small when weights moved a little.

Both files are cut into blocks of 1 MiB (256 Ki elements of 4 bytes; .tflite aligns its buffers to 4 or 16, so
elements do not straddle). A block is taken as little-endian unsigned integers of 1, 2 or 4 bytes, whichever
packs best: their differences modulo 2^bits are zig-zagged (small changes of either sign become small
numbers), split into byte planes (the planes of the high bytes are then nearly all zero) and packed by zstd.
Floats are treated by their bit patterns, which are ordered as the values are. A block may also be unchanged,
or literal.

    file   = "EDGEDTD1" u64 length, then a record for each block
    record = u8 mode (0 unchanged, 1 2 4 the width of an element, 255 literal), u32 bytes of its zstd frame,
    frame

Neither side holds more than a few blocks.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edged.models.delta_errors import DeltaError, zstandard

MAGIC = b"EDGEDTD1"
BLOCK = 1 << 20
LEVEL, QUICK_LEVEL = 19, 3
UNCHANGED, LITERAL = 0, 255
WIDTHS = (1, 2, 4)
_HEADER = struct.Struct("<8sQ")
_RECORD = struct.Struct("<BI")
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def needs(base_length: int, length: int) -> int | None:
    """Bytes that applying holds: a dozen blocks (base, frame, planes, two integer forms, zstd's own)."""
    return 12 * BLOCK if base_length == length else None


def make(base: Path, new: Path, patch: BinaryIO, memory_limit: int) -> None:
    """Writes the patch. DeltaError when the files differ in length."""
    length = new.stat().st_size
    if base.stat().st_size != length:
        raise DeltaError(f"{base} and {new} differ in length", remedy="use zstd-patch")
    patch.write(_HEADER.pack(MAGIC, length))
    with base.open("rb") as old, new.open("rb") as target:
        while block := target.read(BLOCK):
            patch.write(_record(old.read(len(block)), block))


def _record(old: bytes, new: bytes) -> bytes:
    if old == new:
        return _RECORD.pack(UNCHANGED, 0)
    zstd = zstandard()
    forms = {width: difference(old, new, width) for width in WIDTHS} | {LITERAL: new}
    quick = zstd.ZstdCompressor(level=QUICK_LEVEL)
    mode = min(forms, key=lambda m: len(quick.compress(forms[m])))
    frame = zstd.ZstdCompressor(level=LEVEL).compress(forms[mode])
    return _RECORD.pack(mode, len(frame)) + bytes(frame)


def apply(base: BinaryIO, patch: BinaryIO, out: BinaryIO, length: int, memory_limit: int) -> None:
    """Writes the patched file. DeltaError for a patch that is damaged or meant for another length."""
    magic, stated = _HEADER.unpack(_exactly(patch, _HEADER.size))
    if magic != MAGIC or stated != length or os.fstat(base.fileno()).st_size != length:
        raise DeltaError(f"the patch is not a tensor difference between two files of {length} bytes")
    decompressor = zstandard().ZstdDecompressor()
    for start in range(0, length, BLOCK):
        old = _exactly(base, min(BLOCK, length - start))
        out.write(_block(old, patch, decompressor))
    if patch.read(1):
        raise DeltaError("the patch goes on after its last block")


def _block(old: bytes, patch: BinaryIO, decompressor: Any) -> bytes:
    mode, size = _RECORD.unpack(_exactly(patch, _RECORD.size))
    if mode == UNCHANGED and size == 0:
        return old
    if mode not in (*WIDTHS, LITERAL) or size > len(old) + len(old) // 64 + 1024:
        raise DeltaError(f"a block of the patch has mode {mode} and {size} bytes, which none can have")
    expected = len(old) if mode == LITERAL else padded(len(old), mode)
    form = _unpacked(_exactly(patch, size), expected, decompressor)
    return form if mode == LITERAL else added(old, form, mode)


def _unpacked(frame: bytes, expected: int, decompressor: Any) -> bytes:
    zstd = zstandard()
    try:
        # zstandard allocates what the frame states, so the statement is checked before
        if zstd.get_frame_parameters(frame).content_size != expected:
            raise DeltaError(f"a block of the patch does not unpack to {expected} bytes")
        form = bytes(decompressor.decompress(frame, max_output_size=expected))
    except zstd.ZstdError as error:
        raise DeltaError(f"a block of the patch is damaged: {error}") from None
    if len(form) != expected:
        raise DeltaError(f"a block of the patch unpacks to {len(form)} bytes instead of {expected}")
    return form


def padded(size: int, width: int) -> int:
    """`size` rounded up to whole elements."""
    return -(-size // width) * width


def difference(old: bytes, new: bytes, width: int) -> bytes:
    """Zig-zagged differences of elements of `width` bytes, plane after plane, the low bytes first."""
    a, b = _elements(old, width), _elements(new, width)
    signed = (b - a).view(f"<i{width}")
    zigzag = ((signed << 1) ^ (signed >> (8 * width - 1))).astype(signed.dtype)
    planes = np.ascontiguousarray(zigzag.view(np.uint8).reshape(-1, width).T)
    return bytes(planes)


def added(old: bytes, planes: bytes, width: int) -> bytes:
    """The inverse of `difference`: the new block."""
    merged = np.ascontiguousarray(np.frombuffer(planes, np.uint8).reshape(width, -1).T)
    zigzag = merged.view(f"<u{width}").reshape(-1)
    one = zigzag.dtype.type(1)
    signed = (zigzag >> one) ^ (~(zigzag & one) + one)
    new = _elements(old, width) + signed
    return bytes(new)[: len(old)]


def _elements(data: bytes, width: int) -> np.ndarray[Any, np.dtype[Any]]:
    return np.frombuffer(data.ljust(padded(len(data), width), b"\0"), f"<u{width}")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise DeltaError(f"the patch or its base ends early: {size} bytes wanted, {len(data)} there")
    return data
