"""A founded workspace is a repository that any TUF client takes; one publisher works in it at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.models.manifest import decode_manifest, decode_rollout
from edged.publish import edition, workspace
from edged.publish.errors import KeyringError, PublishError
from edged.publish.roles import ROLES
from edged.publish.workspace import Workspace
from support.publisher import open_at
from support.tuf_device import TufDevice


def test_a_tuf_client_finds_what_was_released_and_rolled_out(device: TufDevice) -> None:
    manifest = decode_manifest(device.target("models/digits/1.json") or b"", "digits", 1)
    assert (device.public / "blobs" / manifest.file.sha256).stat().st_size == manifest.file.length
    rollout = decode_rollout(device.target("rollout/stable.json") or b"", "stable")
    assert rollout.models["digits"].version == 1
    assert device.target("models/digits/2.json") is None


def test_roles_have_the_keys_thresholds_and_times_of_the_table(opened: Workspace) -> None:
    now = opened.edition()
    delegated = now.targets.signed.delegations
    assert delegated is not None
    assert delegated.roles is not None
    for role in ROLES.values():
        found = now.root.signed.roles.get(role.name) or delegated.roles[role.name]
        assert (len(found.keyids), found.threshold) == (role.keys, role.threshold)
        left = now.of(role.name).signed.expires - opened.signing.now()
        assert role.days - 1 <= left.total_seconds() / 86400 <= role.days
    assert [delegated.roles[r].terminating for r in ("models", "rollout")] == [True, True]
    assert now.root.signed.consistent_snapshot


def test_no_two_keys_are_one(opened: Workspace) -> None:
    assert len({e.keyid for e in opened.keyring.entries}) == sum(r.keys for r in ROLES.values())


def test_the_folder_to_copy_holds_no_key_and_no_draft(folder: Path) -> None:
    public = {p.name for p in (folder / "public").iterdir()}
    assert public == {"metadata", "targets", "blobs"}
    assert not [p for p in (folder / "public").rglob("*") if p.suffix == ".key"]
    assert all(p.stat().st_mode & 0o077 == 0 for p in (folder / "keys").iterdir())


def test_a_second_publisher_is_kept_out(opened: Workspace) -> None:
    with pytest.raises(PublishError, match="another `edged publish` works"), open_at(opened.folder):
        pass


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="edged publish init"), open_at(tmp_path):
        pass


def test_founding_twice_is_refused(opened: Workspace) -> None:
    with pytest.raises(PublishError, match="is a workspace already"):
        workspace.found(opened)


def test_a_changed_metadata_file_is_noticed(opened: Workspace) -> None:
    path = edition.metadata_path(opened.public, "targets", 1)
    path.write_bytes(path.read_bytes().replace(b'"threshold":2', b'"threshold":1'))
    with pytest.raises(PublishError, match="not consistent"):
        opened.edition()


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with (
        open_at(tmp_path / "new", new=True, passphrase=lambda: b"short") as opened,
        pytest.raises(KeyringError, match="passphrase has 5 bytes"),
    ):
        workspace.found(opened)
    assert not (tmp_path / "new" / "keys.json").exists()
