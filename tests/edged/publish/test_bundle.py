"""A bundle holds for months, comes after the network and before it; an older one is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, ExpiredMetadataError

from edged.publish import bundle, release, rollout, rotation
from edged.publish.edition import load, utc_now
from edged.publish.errors import PublishError
from edged.publish.workspace import Workspace
from support.tuf_device import TufDevice


def stick(opened: Workspace, place: Path, state: Path, days: int = 60) -> TufDevice:
    """A bundle at `place`, and a device that knows the first root."""
    bundle.bundle(opened, place, days)
    return TufDevice(place, state, (opened.public / "metadata" / "1.root.json").read_bytes())


def test_it_is_a_whole_repository_that_holds_for_its_days(opened: Workspace, tmp_path: Path) -> None:
    device = stick(opened, tmp_path / "stick", tmp_path / "device")
    with device.at(utc_now() + timedelta(days=59)):
        assert device.target("models/digits/1.json") is not None
    manifests = release.released(opened, opened.edition(), "digits")
    assert (tmp_path / "stick" / "blobs" / manifests[0].file.sha256).is_file()
    with device.at(utc_now() + timedelta(days=61)), pytest.raises(ExpiredMetadataError):
        device.updater()


def test_the_network_follows_the_stick_and_the_stick_the_network(
    opened: Workspace, second: Path, tmp_path: Path, device: TufDevice
) -> None:
    device.updater()
    moving = stick(opened, tmp_path / "stick", device.state)
    assert moving.target("models/digits/1.json") is not None
    assert device.target("models/digits/1.json") is not None
    release.add(opened, second, "digits", 2)
    release.release(opened)
    assert device.target("models/digits/2.json") is not None
    later = stick(opened, tmp_path / "later", device.state)
    assert later.target("models/digits/2.json") is not None


def test_an_older_stick_is_refused(opened: Workspace, tmp_path: Path) -> None:
    old = stick(opened, tmp_path / "old", tmp_path / "device")
    new = stick(opened, tmp_path / "new", tmp_path / "device")
    new.updater()
    with pytest.raises(BadVersionNumberError):
        old.updater()


def test_the_public_folder_keeps_its_own_times(opened: Workspace, tmp_path: Path) -> None:
    bundle.bundle(opened, tmp_path / "stick", 90)
    left = opened.edition().timestamp.signed.expires - utc_now()
    assert left < timedelta(days=2)
    assert load(tmp_path / "stick").timestamp.signed.expires - utc_now() > timedelta(days=89)
    rollout.change(opened, "stable", "digits", rollout.Change(percent=5))
    rotation.rotate(opened, "timestamp")


@pytest.mark.parametrize("days", [1, 29, 91])
def test_other_times_are_refused(opened: Workspace, tmp_path: Path, days: int) -> None:
    with pytest.raises(PublishError, match="30 to 90 days"):
        bundle.bundle(opened, tmp_path / "stick", days)


def test_a_folder_that_is_there_is_left_alone(opened: Workspace, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="is there already"):
        bundle.bundle(opened, tmp_path, 60)


def test_no_bundle_outlives_the_root(opened: Workspace, tmp_path: Path) -> None:
    opened.signing.now = lambda: utc_now() + timedelta(days=300)
    with pytest.raises(PublishError, match="--renew root"):
        bundle.bundle(opened, tmp_path / "stick", 90)
