"""Manifests and rollouts: what is written is read again, and what breaks the format is refused with the place."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.models.errors import ManifestError
from edged.models.manifest import (
    MAX_DOCUMENT,
    Blob,
    Delta,
    Golden,
    Manifest,
    Rollout,
    RolloutRule,
    TensorSpec,
    blob_path,
    decode_manifest,
    decode_rollout,
    encode,
    manifest_path,
    rollout_path,
)

BLOB = Blob(sha256="a" * 64, length=5000, chunk_bytes=4096, chunks=("b" * 64, "c" * 64))
SPEC = TensorSpec(name="x", dtype="float32", shape=(1, -1))
MANIFEST = Manifest(
    model="m", version=3, floor=2, file=BLOB, inputs=(SPEC,), outputs=(SPEC,), golden=Golden(blob=BLOB, cases=2),
    deltas=(Delta(base="d" * 64, algorithm="zstd-patch", blob=BLOB),), notes="ü",
)  # fmt: skip
ROLLOUT = Rollout(channel="stable", models={"m": RolloutRule(version=3, percent=12.5, devices=("a",))})


def test_round_trip() -> None:
    assert decode_manifest(encode(MANIFEST), "m", 3) == MANIFEST
    assert decode_rollout(encode(ROLLOUT), "stable") == ROLLOUT


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("format", lambda d: d.update(format=2), "Invalid enum value 2"),
    ("unknown field", lambda d: d.update(surprise=1), "unknown field `surprise`"),
    ("digest case", lambda d: d["file"].update(sha256="A" * 64), "sha256 is not"),
    ("digest path", lambda d: d["file"].update(sha256="../" * 21 + "x"), "sha256 is not"),
    ("chunks", lambda d: d["file"].update(chunks=["b" * 64]), "1 chunks, length and chunk_bytes make 2"),
    ("chunk size", lambda d: d["file"].update(chunk_bytes=1), "chunk_bytes must be"),
    ("length", lambda d: d["file"].update(length=-1), "length must be"),
    ("huge", lambda d: d["file"].update(length=1 << 60), "length must be"),
    ("floor", lambda d: d.update(floor=4), "floor must be"),
    ("version 0", lambda d: d.update(version=0), "version must be"),
    ("no inputs", lambda d: d.update(inputs=[]), "inputs and outputs"),
    ("shape", lambda d: d["inputs"][0].update(shape=[-2]), "shape is out of range"),
    ("cases", lambda d: d["golden"].update(cases=3), "no multiple of its cases"),
    ("tolerance", lambda d: d["golden"].update(tolerance=-1.0), "tolerance"),
    ("algorithm", lambda d: d["deltas"][0].update(algorithm="sh"), "Invalid enum value 'sh'"),
    ("deltas", lambda d: d.update(deltas=d["deltas"] * 65), "more than 64 deltas"),
    ("key", lambda d: d.update(encrypted="../key"), "no key name"),
    ("other model", lambda d: d.update(model="n"), "calls itself n 3"),
    ("other version", lambda d: d.update(version=4), "calls itself m 4"),
    ("path as model", lambda d: d.update(model="../m"), "is not a name"),
]


@pytest.mark.parametrize(("change", "message"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_refused(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    document = json.loads(encode(MANIFEST))
    change(document)
    with pytest.raises(ManifestError, match=message):
        decode_manifest(json.dumps(document).encode(), "m", 3)


def test_rollouts_refused() -> None:
    for text, message in [
        ('{"channel": "beta", "models": {}}', "calls itself beta"),
        ('{"channel": "stable", "models": {"../x": {"version": 1}}}', "is not a name"),
        ('{"channel": "stable", "models": {"m": {"version": 1, "percent": 101}}}', "percent must be"),
        ('{"channel": "stable", "models": {"m": {"version": 1, "floor": 2}}}', "floor must be"),
    ]:
        with pytest.raises(ManifestError, match=message):
            decode_rollout(text.encode(), "stable")


def test_too_large() -> None:
    with pytest.raises(ManifestError, match="the limit is"):
        decode_manifest(b" " * (MAX_DOCUMENT + 1), "m", 3)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "-a", "a" * 65, "ä", "a\n"])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(ManifestError):
        manifest_path(name, 1)
    with pytest.raises(ManifestError):
        rollout_path(name)
    with pytest.raises(ManifestError):
        blob_path(name)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(encode(MANIFEST)) - 1), st.integers(0, 255), st.integers(0, 2))
def test_spoilt_bytes_raise_nothing_else(at: int, value: int, how: int) -> None:
    data = bytearray(encode(MANIFEST))
    if how == 0:
        data[at] = value
    elif how == 1:
        del data[at:]
    else:
        data[at:at] = bytes([value]) * 3
    with suppress(ManifestError):
        decode_manifest(bytes(data), "m", 3)
