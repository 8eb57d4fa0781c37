"""Attacks on the repository, each with what stops it. After each one the old version still serves, whole;
and an honest release afterwards passes, so that nothing was refused because nothing passes.

The attacker is strong: he has the online keys (snapshot, timestamp) wherever a row does not say otherwise.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import time

import pytest

from edged.errors import EdgedError
from edged.models.manifest import encode, manifest_path, rollout_path
from edged.publish import edition, release, rotation
from edged.publish.edition import metadata_path, newest, utc_now
from support.attacked import Scene, begin, stranger
from support.publisher import open_at


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with open_at(tmp_path / "workspace", new=True) as workspace:
        yield begin(workspace, tmp_path)


def flip(path: Path, where: int = -100) -> None:
    """One bit of a file."""
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def prolong(path: Path) -> None:
    """Metadata that would hold ten years longer, if nobody checked its signature; not a byte longer."""
    data = path.read_bytes()
    at = data.index(b'"expires":"20') + len(b'"expires":"20')
    path.write_bytes(data[:at] + b"%d" % (int(data[at : at + 2]) + 10) + data[at + 2 :])


def latest(scene: Scene, role: str) -> Path:
    return metadata_path(scene.public, role, newest(scene.public, role))


def tampered_blob(scene: Scene) -> None:
    scene.release(deltas=0)
    flip(scene.blob(2))


def cut_blob(scene: Scene) -> None:
    scene.release(deltas=0)
    blob = scene.blob(2)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1])


def blob_of_another_version(scene: Scene) -> None:
    scene.release(deltas=0)
    blob = scene.blob(2)
    blob.unlink()
    shutil.copy(scene.blob(1), blob)


def missing_blob(scene: Scene) -> None:
    scene.release(deltas=0)
    scene.blob(2).unlink()


def blob_that_is_a_link(scene: Scene) -> None:
    scene.release(deltas=0)
    scene.blob(2).unlink()
    scene.blob(2).symlink_to("/dev/zero")


def tampered_manifest(scene: Scene) -> None:
    scene.release()
    for path in (scene.public / "targets" / "models" / "digits").iterdir():
        flip(path)


def tampered(role: str) -> Callable[[Scene], None]:
    def attack(scene: Scene) -> None:
        scene.release()
        release.release(scene.workspace, renew=["targets"])
        prolong(latest(scene, role))

    return attack


def metadata_that_is_no_json(scene: Scene) -> None:
    scene.release()
    latest(scene, "timestamp").write_bytes(b"\x00" * 300)


def metadata_of_megabytes(scene: Scene) -> None:
    scene.release()
    path = latest(scene, "timestamp")
    path.write_bytes(path.read_bytes() + b" " * (4 << 20))


def deeply_nested_metadata(scene: Scene) -> None:
    scene.release()
    latest(scene, "timestamp").write_bytes(b"[" * 15_000)


def one_of_two_signatures(scene: Scene) -> None:
    scene.release(3)
    scene.forge("models", lambda models: None, scene.signers("models")[:1])


def one_signature_and_a_strangers(scene: Scene) -> None:
    scene.release(3)
    scene.forge("models", lambda models: None, [scene.signers("models")[0], stranger()])


def stranger_signs(role: str) -> Callable[[Scene], None]:
    def attack(scene: Scene) -> None:
        scene.release()
        signed = [stranger(), stranger()]
        scene.forge(role, lambda metadata: None, signed)

    return attack


def rollout_key_signs_a_model(scene: Scene) -> None:
    """The rollout role lists a manifest of its own making."""
    manifest = release.released(scene.workspace, scene.workspace.edition(), "digits")[0]
    data = encode(manifest).replace(b'"version":1', b'"version":2')
    bodies: dict[Path, bytes] = {}

    def change(rollout: object) -> None:
        listed = rollout.targets  # type: ignore[attr-defined]
        rule = encode(_rollout_to(2))
        bodies.update(release.target(listed, manifest_path("digits", 2), data))
        bodies.update(release.target(listed, rollout_path("stable"), rule))

    scene.forge("rollout", change, scene.signers("rollout"), targets=bodies)


def _rollout_to(version: int, model: str = "digits", floor: int = 0):  # type: ignore[no-untyped-def]  # noqa: ANN202
    from edged.models.manifest import Rollout, RolloutRule

    return Rollout(channel="stable", models={model: RolloutRule(version=version, floor=floor)})


def roll_to(data: bytes) -> Callable[[Scene], None]:
    """The rollout key is stolen: it signs this document."""

    def attack(scene: Scene) -> None:
        bodies: dict[Path, bytes] = {}
        scene.forge(
            "rollout",
            lambda rollout: bodies.update(release.target(rollout.targets, rollout_path("stable"), data)),
            scene.signers("rollout"),
            targets=bodies,
        )

    return attack


def manifest_of(change: Callable[[bytes], bytes]) -> Callable[[Scene], None]:
    """Both models keys are stolen, or their owners err: they sign this as digits 2, and it is rolled out."""

    def attack(scene: Scene) -> None:
        first = release.released(scene.workspace, scene.workspace.edition(), "digits")[0]
        data = change(encode(first))
        bodies: dict[Path, bytes] = {}
        scene.forge(
            "models",
            lambda models: bodies.update(release.target(models.targets, manifest_path("digits", 2), data)),
            scene.signers("models"),
            targets=bodies,
        )
        roll_to(encode(_rollout_to(2)))(scene)

    return attack


def root_by_one_of_two(scene: Scene) -> None:
    """A new root with the attacker's keys, signed by one old root key and by them."""
    now = scene.workspace.edition()
    own = stranger()
    root = now.root.signed
    root.version = 2
    for role in ("root", "targets", "snapshot", "timestamp"):
        root.roles[role].threshold = 1
        root.add_key(own.public_key, role)
    now.root.signatures.clear()
    for signer in (scene.signers("root")[0], own):
        now.root.sign(signer, append=True)
    metadata_path(scene.public, "root", 2).write_bytes(now.root.to_bytes())


def root_that_skips_a_version(scene: Scene) -> None:
    now = scene.workspace.edition()
    now.root.signed.version = 3
    scene.workspace.signing.sign("root", now.root)
    metadata_path(scene.public, "root", 2).write_bytes(now.root.to_bytes())


def replay(scene: Scene) -> None:
    _take_second(scene)
    scene.restore()


def replay_after_the_cache_was_emptied(scene: Scene) -> None:
    """A power cut emptied what python-tuf keeps (it syncs nothing), and an old repository is served."""
    _take_second(scene)
    for path in (scene.device.root / "tuf" / "metadata").rglob("*.json"):
        if not path.is_symlink():
            path.write_bytes(b"")
    scene.restore()


def replay_after_the_cache_was_deleted(scene: Scene) -> None:
    _take_second(scene)
    shutil.rmtree(scene.device.root / "tuf")
    scene.restore()


def replay_of_the_timestamp(scene: Scene) -> None:
    _take_second(scene)
    shutil.copy(scene.old / "metadata" / "timestamp.json", scene.public / "metadata")


def _take_second(scene: Scene) -> None:
    scene.release()
    assert scene.device.poll() == [2]
    scene.device.activate()


def old_models_under_a_new_name(scene: Scene) -> None:
    """Mix and match: the file that a new snapshot names holds an older version."""
    scene.release()
    new = latest(scene, "models")
    shutil.copy(new.with_name("2.models.json"), new)
    shutil.copy(new.with_name("1.models.json"), new)


def old_snapshot_under_a_new_name(scene: Scene) -> None:
    scene.release()
    new = latest(scene, "snapshot")
    shutil.copy(new.with_name("1.snapshot.json"), new)


def frozen(scene: Scene) -> None:
    """Nothing new is let through for two days; the device's clock is right."""
    late = (utc_now() + timedelta(days=2)).timestamp()
    scene.device.clock = lambda: late


def frozen_and_the_clock_says_1990(scene: Scene) -> None:
    """The device has once seen a later time; then its clock is lost."""
    later = (utc_now() + timedelta(hours=20)).timestamp()
    scene.device.clock = lambda: later
    scene.device.poll()
    scene.workspace.signing.now = lambda: utc_now() - timedelta(hours=12)  # expires in 12 hours: in the past
    scene.release()
    scene.device.clock = lambda: 631_152_000.0


def the_clock_says_2099(scene: Scene) -> None:
    scene.release()
    scene.device.clock = lambda: 4_070_908_800.0


def signed_downgrade_below_the_floor(scene: Scene) -> None:
    _take_second(scene)
    scene.release(3, floor=3)
    assert scene.device.poll() == [3]
    scene.device.activate()
    roll_to(encode(_rollout_to(2)))(scene)


def too_large_for_the_quota(scene: Scene) -> None:
    scene.device.blobs.quota = 30_000
    scene.release(2, deltas=0)


HEX = b"0" * 64

REFUSED: dict[str, tuple[Callable[[Scene], None], str]] = {
    "blob: one bit": (tampered_blob, "not those that were signed"),
    "blob: cut": (cut_blob, "ended at byte"),
    "blob: another version's": (blob_of_another_version, "not those that were signed"),
    "blob: gone": (missing_blob, "not there"),
    "blob: a link to a device file": (blob_that_is_a_link, "not there"),
    "manifest: one bit": (tampered_manifest, "does not match expected hash"),
    **{
        f"{r}: prolonged": (tampered(r), rf"{r} was signed by 0/\d keys")
        for r in ("timestamp", "snapshot", "targets", "models", "rollout")
    },
    "timestamp: zeros": (metadata_that_is_no_json, "Failed to deserialize"),
    "timestamp: megabytes": (metadata_of_megabytes, "exceeding the maximum allowed length"),
    "timestamp: nested 15,000 deep": (deeply_nested_metadata, "Failed to deserialize"),
    "models: one signature of two": (one_of_two_signatures, "signed by 1/2"),
    "models: one signature and a stranger's": (one_signature_and_a_strangers, "signed by 1/2"),
    **{
        f"{r}: a stranger signs": (stranger_signs(r), "signed by 0")
        for r in ("targets", "models", "rollout", "snapshot", "timestamp")
    },
    "rollout key signs a model": (rollout_key_signs_a_model, "signs no models/digits/2.json"),
    "rollout: a version that nobody signed": (roll_to(encode(_rollout_to(9))), "signs no models/digits/9.json"),
    "rollout: another channel's": (
        roll_to(encode(_rollout_to(1)).replace(b"stable", b"beta")), "calls itself beta",
    ),
    "rollout: a name that is a path": (
        roll_to(encode(_rollout_to(1)).replace(b'"digits"', b'"../../digits"')), "is not a name",
    ),
    "rollout: no JSON": (roll_to(b"{" * 1000), "breaks its format"),
    "rollout: an unknown field": (
        roll_to(encode(_rollout_to(1)).replace(b'"format"', b'"skip_checks":true,"format"')), "skip_checks",
    ),
    "manifest: of another model": (
        manifest_of(lambda d: d.replace(b'"digits"', b'"faces"')), "calls itself faces",
    ),
    "manifest: of another version": (manifest_of(lambda d: d), "calls itself digits 1"),
    "manifest: a digest that is a path": (
        manifest_of(lambda d: d.replace(b'"version":1', b'"version":2').replace(b'"sha256":"', b'"sha256":"../../')),
        "64 lower-case hex",
    ),
    "manifest: a huge length": (
        manifest_of(lambda d: d.replace(b'"version":1', b'"version":2').replace(b'"length":20', b'"length":20000')),
        "length and chunk_bytes make 77",
    ),
    "manifest: a negative tolerance": (
        manifest_of(lambda d: d.replace(b'"version":1', b'"version":2').replace(b'"tolerance":0.0', b'"tolerance":-1.0')),
        "tolerance",
    ),
    "root: one old key and the attacker's": (root_by_one_of_two, "root was signed by 1/2"),
    "root: a version skipped": (root_that_skips_a_version, "Expected root version 2"),
    "replay of everything": (replay, r"New timestamp version 3 must be >= 5"),
    "replay, the cache emptied by a power cut": (replay_after_the_cache_was_emptied, "has seen"),
    "replay, the cache deleted": (replay_after_the_cache_was_deleted, "has seen"),
    "replay of the timestamp": (replay_of_the_timestamp, "New timestamp version 3 must be >= 5"),
    "mix and match: old models": (old_models_under_a_new_name, "does not match expected length"),
    "mix and match: old snapshot": (old_snapshot_under_a_new_name, "refused"),
    "freeze": (frozen, "expired"),
    "freeze, and a clock at 1990": (frozen_and_the_clock_says_1990, "clock was later once"),
    "a clock at 2099": (the_clock_says_2099, "expired"),
    "signed downgrade below the floor": (signed_downgrade_below_the_floor, "below the floor 3"),
    "larger than the quota": (too_large_for_the_quota, "quota"),
}  # fmt: skip
"""Attack -> (how, what the refusal says)."""


def refusal(scene: Scene) -> str:
    """What a poll that brings nothing says."""
    try:
        assert scene.device.poll() == []
    except EdgedError as error:
        return str(error)
    return scene.device.reasons()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_while_the_old_version_serves_and_the_next_honest_one_passes(scene: Scene, name: str) -> None:
    attack, words = REFUSED[name]
    attack(scene)
    serving = scene.device.serves()
    said = refusal(scene)
    assert re.search(words, said), said
    assert scene.device.serves() == serving
    _honest_again(scene)
    assert scene.device.poll() == [20]
    scene.device.activate()
    assert scene.device.serves() == 20


def _honest_again(scene: Scene) -> None:
    """The attacker is gone: the publisher goes on from what he had, ahead of everything that was ever
    signed."""
    scene.restore()
    scene.device.clock, scene.workspace.signing.now = time, utc_now
    scene.device.blobs.quota = 1 << 30
    for _ in range(4):
        release.release(scene.workspace, renew=["targets", "models", "rollout"])
    scene.release(20)


def test_the_control_an_honest_release_passes(scene: Scene) -> None:
    scene.release()
    assert scene.device.poll() == [2]
    scene.device.activate()
    assert scene.device.serves() == 2


def test_three_honest_rotations_of_every_key_are_followed(scene: Scene) -> None:
    for _ in range(3):
        for role in ("root", "targets", "models", "rollout", "snapshot", "timestamp"):
            rotation.rotate(scene.workspace, role)
    scene.release()
    assert scene.device.poll() == [2]


@pytest.mark.parametrize("role", ["rollout", "snapshot", "timestamp"])
def test_what_a_stolen_key_signs_is_worth_nothing_after_its_rotation(scene: Scene, role: str) -> None:
    stolen = scene.signers(role)
    rotation.rotate(scene.workspace, role)
    scene.release()
    assert scene.device.poll() == [2]
    scene.device.activate()
    scene.forge(role, lambda metadata: None, stolen)
    assert f"{role} was signed by 0" in refusal(scene)
    assert scene.device.serves() == 2


def test_versions_run_up_by_a_stolen_key_do_not_lock_the_device_out(scene: Scene) -> None:
    """Fast-forward: the thief signs version 1,000,000; after a rotation the honest ones count again."""
    saved = shutil.copytree(scene.public, scene.folder / "saved")
    now = scene.workspace.edition()
    now.snapshot.signed.version = now.timestamp.signed.version = 1_000_000
    edition.publish(scene.public, now, (), scene.workspace.signing)
    assert refusal(scene) == "up to date"
    scene.restore(saved)
    assert "1000001" in refusal(scene)
    for role in ("snapshot", "timestamp"):
        rotation.rotate(scene.workspace, role)
    scene.release()
    assert scene.device.poll() == [2]
