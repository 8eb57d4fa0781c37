"""After a rotation old keys are worth nothing, new ones sign, and a device of the first day still follows."""

from __future__ import annotations

import pytest

from edged.publish import edition, release, rotation
from edged.publish.errors import PublishError
from edged.publish.roles import ROLES
from edged.publish.workspace import Workspace
from support.tuf_device import TufDevice


@pytest.mark.parametrize("role", ROLES)
def test_a_device_of_the_first_day_follows(opened: Workspace, device: TufDevice, role: str) -> None:
    device.updater()
    done = rotation.rotate(opened, role)
    assert len(done.new) == ROLES[role].keys
    assert device.target("models/digits/1.json") is not None
    release.release(opened, renew=["targets", "models", "rollout"])
    assert device.target("models/digits/1.json") is not None
    signed = opened.edition().of(role).signatures
    if role != "root":
        assert not set(signed) & {e.keyid for e in done.old}, "an old key still signs"


def test_one_key_of_the_root_changes_alone(opened: Workspace, device: TufDevice) -> None:
    done = rotation.rotate(opened, "root", ["root-2"])
    assert [e.name for e in done.old] == ["root-2"]
    assert [e.name for e in opened.keyring.of("root")] == ["root-1", "root-3", "root-4"]
    assert device.target("models/digits/1.json") is not None


def test_many_rotations_in_a_row(opened: Workspace, device: TufDevice) -> None:
    for role in (*ROLES, *ROLES):
        rotation.rotate(opened, role)
    release.release(opened)
    assert device.target("models/digits/1.json") is not None
    assert len(opened.keyring.entries) == sum(r.keys for r in ROLES.values())


def test_the_old_keys_sign_nothing_that_holds(opened: Workspace) -> None:
    (old,) = opened.keyring.of("timestamp")
    signer = opened.keyring.signer(old)
    rotation.rotate(opened, "timestamp")
    now = opened.edition()
    now.timestamp.signed.version += 1
    now.timestamp.signatures.clear()
    now.timestamp.sign(signer)
    with pytest.raises(PublishError, match="not consistent"):
        now.check()


def test_a_renewed_root_is_one_version_further(opened: Workspace) -> None:
    assert rotation.renew_root(opened, opened.edition()) == 2
    assert edition.newest(opened.public, "root") == 2


@pytest.mark.parametrize(
    ("role", "names", "words"), [("chef", (), "no role 'chef'"), ("root", ["x"], "no key x")]
)
def test_what_cannot_be_rotated_is_named(opened: Workspace, role: str, names: list[str], words: str) -> None:
    with pytest.raises(PublishError, match=words):
        rotation.rotate(opened, role, names)
