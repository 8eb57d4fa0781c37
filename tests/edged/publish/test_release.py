"""A version is checked, recorded, cut into blobs and signed; what devices would refuse is refused here."""

from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from edged.demo import FOLDER
from edged.errors import ModelError
from edged.models import cipher, delta
from edged.models.errors import ManifestError
from edged.models.manifest import blob_path, encode
from edged.publish import blobs, release
from edged.publish.edition import utc_now
from edged.publish.errors import PublishError
from edged.publish.release import Wanted
from edged.publish.workspace import Workspace

MODEL = FOLDER / "digits_int8.tflite"


def test_chunks_and_digest_are_those_of_the_file(opened: Workspace, tmp_path: Path) -> None:
    data = np.random.default_rng(3).bytes(700_000)
    path = tmp_path / "file"
    path.write_bytes(data)
    blob = blobs.put(opened.public, path)
    stored = (opened.public / blob_path(blob.sha256)).read_bytes()
    assert stored == data
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    size = blob.chunk_bytes
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    assert list(blob.chunks) == [hashlib.sha256(p).hexdigest() for p in parts]


def test_a_delta_to_the_next_version_gives_it_back(opened: Workspace, second: Path) -> None:
    manifest = release.add(opened, second, "digits", 2)
    (made,) = manifest.deltas
    assert made.blob.length < manifest.file.length // 20
    out = io.BytesIO()
    base, patch = (opened.public / blob_path(d) for d in (made.base, made.blob.sha256))
    delta.apply(made.algorithm, base, patch, out, length=manifest.file.length)
    assert out.getvalue() == second.read_bytes()


def test_deltas_reach_back_as_far_as_asked(opened: Workspace, second: Path) -> None:
    for version in (2, 3):
        release.add(opened, second, "digits", version)
        release.release(opened)
    assert len(release.add(opened, MODEL, "digits", 4, Wanted(deltas=3)).deltas) == 2
    assert len(release.add(opened, second, "digits", 4, Wanted(deltas=1)).deltas) == 0


def test_a_draft_is_not_public_until_it_is_released(opened: Workspace, second: Path) -> None:
    release.add(opened, second, "digits", 2)
    assert [m.version for m in release.released(opened, opened.edition())] == [1]
    assert [m.version for m in release.release(opened)] == [2]
    assert [m.version for m in release.released(opened, opened.edition())] == [1, 2]


@pytest.mark.parametrize("version", [1, 0, -3])
def test_a_version_that_is_no_step_forward_is_refused(opened: Workspace, version: int) -> None:
    with pytest.raises(PublishError, match="take 2"):
        release.add(opened, MODEL, "digits", version)


def test_a_daily_release_keeps_the_rollout_from_expiring(opened: Workspace) -> None:
    start, days = utc_now(), 0
    for days in range(31):
        opened.signing.now = lambda: start + timedelta(days=days)  # noqa: B023
        release.release(opened)
        left = opened.edition().rollout.signed.expires - opened.signing.now()
        assert left >= timedelta(days=7)
    assert opened.edition().models.signed.version == 2, "an offline role was signed without being asked"


def test_a_released_version_never_changes(opened: Workspace, second: Path) -> None:
    manifest = release.add(opened, second, "digits", 2)
    release.release(opened)
    forged = opened.drafts / "digits" / "2.json"
    forged.write_bytes(encode(manifest).replace(b'"notes":""', b'"notes":"other"'))
    with pytest.raises(PublishError, match="never changed"):
        release.release(opened)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 65])
def test_a_name_that_is_a_path_is_refused(opened: Workspace, name: str) -> None:
    with pytest.raises(ManifestError, match="is not a model name"):
        release.add(opened, MODEL, name, 1)


def test_a_file_that_devices_would_refuse_is_refused(opened: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(MODEL.read_bytes()[:-2000])
    with pytest.raises(ModelError, match=r"broken\.tflite|buffer|range"):
        release.add(opened, path, "broken", 1)
    assert release.drafts(opened) == []


def test_a_sealed_version_hides_the_file_and_has_no_delta(opened: Workspace) -> None:
    key = bytes(range(32))
    manifest = release.add(opened, MODEL, "digits", 2, Wanted(key=("shop", key)))
    assert (manifest.encrypted, manifest.deltas) == ("shop", ())
    sealed = opened.public / blob_path(manifest.file.sha256)
    assert b"TFL3" not in sealed.read_bytes()
    with sealed.open("rb") as file:
        assert b"".join(cipher.unseal(key, file)) == MODEL.read_bytes()


def test_a_target_that_was_changed_on_disk_is_noticed(opened: Workspace) -> None:
    (path,) = (opened.public / "targets" / "models" / "digits").iterdir()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(PublishError, match="was changed"):
        release.released(opened, opened.edition())
