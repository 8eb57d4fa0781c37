"""What files that are no model are said to be."""

from __future__ import annotations

import pytest

from edged.formats.sniff import kind


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git-lfs pointer"),
        (b"\x1c\0\0\0TFL3", "TFLite model"),
        (b"\x1c\0\0\0TFL2", "old schema"),
        (b"\x1c\0\0\0MSL2", "MindSpore"),
        (b"\x08\x07\x12\x07pytorch", "ONNX"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PK\x03\x04....", "zip"),
        (b"<!DOCTYPE html><html>", "web page"),
        (bytes(600), "starts with zeros"),
        (b"hello", "plain text"),
        (b"\xff\xfe\xfd\xfc\xfb", "none of the known"),
    ],
)
def test_kinds(head: bytes, what: str) -> None:
    assert what in kind(memoryview(head))[0]
