"""Private keys lie sealed; a key that is away, wrong or elsewhere is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edged.publish import keys, release, workspace
from edged.publish.errors import KeyringError
from edged.publish.workspace import Workspace
from support.publisher import open_at


def test_a_sealed_key_opens_with_its_passphrase_and_name_only() -> None:
    data = keys.seal(b"private", b"passphrase", "root-1", 4)
    assert keys.unseal(data, b"passphrase", "root-1") == b"private"
    for phrase, name in ((b"another one", "root-1"), (b"passphrase", "root-2")):
        with pytest.raises(KeyringError, match="does not open the key"):
            keys.unseal(data, phrase, name)


def test_every_damaged_byte_of_a_key_file_is_noticed() -> None:
    data = keys.seal(b"private", b"passphrase", "root-1", 1)
    for index in (*range(8), *range(9, len(data))):
        with pytest.raises(KeyringError):
            keys.unseal(data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :], b"passphrase", "root-1")
    with pytest.raises(KeyringError, match="not a sealed key"):
        keys.unseal(data[:8] + b"\xff" + data[9:], b"passphrase", "root-1")


def test_files_of_keys_hold_no_plain_key(folder: Path) -> None:
    for path in (folder / "keys").iterdir():
        assert path.read_bytes().startswith(keys.MAGIC)
        assert b"PRIVATE" not in path.read_bytes()


def test_keys_that_were_taken_away_come_back_with_keys(folder: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    (folder / "keys" / "models-2.key").rename(stick / "models-2.key")
    with (
        open_at(folder) as opened,
        pytest.raises(KeyringError, match="models-2 of the role models is not in"),
    ):
        release.release(opened, renew=["models"])
    with open_at(folder, keys=[stick]) as opened:
        release.release(opened, renew=["models"])
        assert opened.edition().models.signed.version == 3


def test_a_missing_key_leaves_nothing_behind(folder: Path) -> None:
    (folder / "keys" / "snapshot-1.key").unlink()
    before = {p: p.read_bytes() for p in (folder / "public").rglob("*") if p.is_file()}
    with open_at(folder) as opened, pytest.raises(KeyringError, match="snapshot-1"):
        release.release(opened, renew=["models"])
    assert {p: p.read_bytes() for p in (folder / "public").rglob("*") if p.is_file()} == before


def test_the_wrong_passphrase_names_the_key(folder: Path) -> None:
    with (
        open_at(folder, passphrase=lambda: b"not the passphrase") as opened,
        pytest.raises(KeyringError, match="does not open the key snapshot-1"),
    ):
        release.release(opened)


def test_a_key_elsewhere_signs_by_its_uri(tmp_path: Path) -> None:
    private = generate_private_key(SECP256R1())
    secret, public = tmp_path / "kms.pem", tmp_path / "kms.pub"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with open_at(tmp_path / "new", new=True) as opened:
        workspace.found(opened, {"timestamp": [(f"file2:{secret}", public)]})
    with open_at(tmp_path / "new") as opened:
        release.release(opened)
        (entry,) = opened.keyring.of("timestamp")
        assert opened.edition().root.signed.keys[entry.keyid].scheme == "ecdsa-sha2-nistp256"
    secret.unlink()
    with open_at(tmp_path / "new") as opened, pytest.raises(KeyringError, match=r"file2:.* cannot be used"):
        release.release(opened)


def test_a_key_in_the_environment_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, other = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    public = tmp_path / "ci.pub"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def give(key: EllipticCurvePrivateKey) -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        monkeypatch.setenv("CI_ROLLOUT_KEY", pem.decode())

    give(private)
    with open_at(tmp_path / "new", new=True) as opened:
        workspace.found(opened, {"rollout": [("env:CI_ROLLOUT_KEY", public)]})
    give(other)
    with (
        open_at(tmp_path / "new") as opened,
        pytest.raises(KeyringError, match="another key than the one of"),
    ):
        release.release(opened, renew=["rollout"])
    monkeypatch.setenv("CI_ROLLOUT_KEY", "no key")
    with open_at(tmp_path / "new") as opened, pytest.raises(KeyringError, match="no private key in PEM"):
        release.release(opened, renew=["rollout"])
    monkeypatch.delenv("CI_ROLLOUT_KEY")
    with open_at(tmp_path / "new") as opened, pytest.raises(KeyringError, match=r"set \$CI_ROLLOUT_KEY"):
        release.release(opened, renew=["rollout"])
    give(private)
    with open_at(tmp_path / "new") as opened:
        release.release(opened, renew=["rollout"])


def test_a_swapped_key_file_is_noticed(opened: Workspace) -> None:
    ring = opened.keyring
    (entry,) = ring.of("rollout")
    other = ring.create("rollout")
    text = (opened.folder / "keys" / f"{other.name}.key").read_bytes()
    pem = keys.unseal(text, ring.passphrase(), other.name)
    (opened.folder / "keys" / f"{entry.name}.key").write_bytes(
        keys.seal(pem, ring.passphrase(), entry.name, 4)
    )
    with pytest.raises(KeyringError, match="holds another key"):
        ring.signer(entry)
