"""Deltas of any two files: a zstd frame whose dictionary is the base (what `zstd --patch-from` does).

    file = "EDGEDZP1" u64 length, then one zstd frame

The base is held whole, and so is zstd's window, which reaches over the larger file: this serves small pairs,
and a cap on memory decides which are small.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from edged.models.delta_errors import DeltaError, DeltaMemoryError, zstandard

MAGIC = b"EDGEDZP1"
LEVEL = 19
PIECE = 128 << 10
_HEADER = struct.Struct("<8sQ")
_FRAME_HEADER_MAX = 18
_SMALLEST_LOG, _LARGEST_LOG = 10, 30


def _window_log(base_length: int, length: int) -> int:
    return max(max(base_length, length).bit_length(), _SMALLEST_LOG)


def needs(base_length: int, length: int) -> int | None:
    """Bytes that applying holds: the base, zstd's window, and pieces."""
    log = _window_log(base_length, length)
    return None if log > _LARGEST_LOG or not length else base_length + (1 << log) + 4 * PIECE


def make(base: Path, new: Path, patch: BinaryIO, memory_limit: int) -> None:
    """Writes the patch. DeltaMemoryError when applying it would hold more than `memory_limit`."""
    zstd = zstandard()
    old, target = base.read_bytes(), new.read_bytes()
    memory = needs(len(old), len(target))
    if memory is None or memory > memory_limit:
        raise DeltaMemoryError(
            f"a patch between files of {len(old)} and {len(target)} bytes needs over {memory_limit} bytes"
        )
    parameters = zstd.ZstdCompressionParameters.from_level(
        LEVEL, window_log=_window_log(len(old), len(target)), enable_ldm=True
    )
    dictionary = zstd.ZstdCompressionDict(old, dict_type=zstd.DICT_TYPE_RAWCONTENT)
    frame = zstd.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(target)
    patch.write(_HEADER.pack(MAGIC, len(target)) + frame)


def apply(base: BinaryIO, patch: BinaryIO, out: BinaryIO, length: int, memory_limit: int) -> None:
    """Writes the patched file. DeltaError for a damaged patch, DeltaMemoryError for one over the limit."""
    zstd = zstandard()
    base_length = os.fstat(base.fileno()).st_size
    window = _checked_window(patch, base_length, length, memory_limit)
    dictionary = zstd.ZstdCompressionDict(base.read(), dict_type=zstd.DICT_TYPE_RAWCONTENT)
    reader = zstd.ZstdDecompressor(dict_data=dictionary, max_window_size=window).stream_reader(
        patch, read_size=PIECE
    )
    written = 0
    try:
        while piece := reader.read(min(PIECE, length - written + 1)):
            written += len(piece)
            if written > length:
                raise DeltaError(f"the patch makes more than {length} bytes")
            out.write(piece)
    except zstd.ZstdError as error:
        raise DeltaError(f"the patch is damaged, or for another base: {error}") from None
    if written != length:
        raise DeltaError(f"the patch makes {written} bytes instead of {length}")


def _checked_window(patch: BinaryIO, base_length: int, length: int, memory_limit: int) -> int:
    """The frame's window in bytes; leaves the file at the frame. What the frame states is judged before zstd
    allocates it."""
    zstd = zstandard()
    head = patch.read(_HEADER.size + _FRAME_HEADER_MAX)
    if len(head) < _HEADER.size or _HEADER.unpack_from(head) != (MAGIC, length):
        raise DeltaError(f"the patch is not a zstd patch to a file of {length} bytes")
    try:
        frame = zstd.get_frame_parameters(head[_HEADER.size :])
    except zstd.ZstdError as error:
        raise DeltaError(f"the patch is damaged: {error}") from None
    if frame.content_size not in (length, zstd.CONTENTSIZE_UNKNOWN):
        raise DeltaError(f"the patch states a result of {frame.content_size} bytes instead of {length}")
    memory = base_length + int(frame.window_size) + 4 * PIECE
    if memory > memory_limit:
        raise DeltaMemoryError(f"the patch needs {memory} bytes of memory, {memory_limit} are allowed")
    patch.seek(_HEADER.size)
    return max(int(frame.window_size), 1 << _SMALLEST_LOG)
