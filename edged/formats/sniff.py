"""Says what a file is that is not what was asked for: the useful half of "this is no .tflite file"."""

from __future__ import annotations

from collections.abc import Callable

_HEAD = 512

Looks = Callable[[bytes], bool]


def _starts(*prefixes: bytes) -> Looks:
    return lambda head: head.startswith(prefixes)


def _identifier(prefix: bytes) -> Looks:
    return lambda head: head[4 : 4 + len(prefix)] == prefix


def _text(head: bytes) -> bool:
    return all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)


_KINDS: tuple[tuple[Looks, str, str], ...] = (
    (lambda head: not head, "an empty file", ""),
    (_starts(b"version https://git-lfs"), "a git-lfs pointer, not the model itself", "run `git lfs pull`"),
    (_identifier(b"TFL3"), "a TFLite model", ""),
    (_identifier(b"TFL"), "a TFLite model of an old schema", "convert it again with a current converter"),
    (_identifier(b"MSL"), "a MindSpore Lite model (.ms)", ""),
    (_starts(b"\x89HDF"), "an HDF5 file (Keras weights?)", "convert it to .tflite"),
    (_starts(b"PK\x03\x04", b"PK\x05\x06"), "a zip archive", "unpack it first"),
    (_starts(b"\x1f\x8b"), "gzip-compressed", "unpack it first"),
    (_starts(b"\x28\xb5\x2f\xfd"), "zstd-compressed", "unpack it first"),
    (_starts(b"\x08"), "an ONNX model (protobuf)", "convert it to .tflite"),
    (_starts(b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML"), "a web page", "download the file itself"),
    (_starts(b"{", b"["), "JSON text", ""),
    (lambda head: not any(head), "a file that starts with zeros", "look for a broken copy"),
    (_text, "plain text", ""),
)


def kind(data: memoryview) -> tuple[str, str]:
    """What the first bytes look like, and what to do about it ("" when there is nothing to say)."""
    head = bytes(data[:_HEAD])
    for looks, what, remedy in _KINDS:
        if looks(head):
            return what, remedy
    return "none of the known model formats", ""
