"""The keys of a workspace: an index of who signs for which role, and signers for those that are at hand.

A private key made here is Ed25519, in a file that is sealed with a passphrase: scrypt makes the key of
AES-GCM.

    file = "EDGEDKY1" u8 log2(n) of scrypt (r 8, p 1), 16 bytes salt, 12 bytes nonce, AES-GCM(PKCS #8 PEM)
           with the first 9 bytes and the key's name as associated data

Any other key is in the environment (`env:VARIABLE`), or is named by a URI of securesystemslib (`awskms:`,
`gcpkms:`, `azurekms:`, `hsm:`, `hv:`, `file2:` ...) and its public half: the private half never comes here.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.signer import CryptoSigner, Key, Signer, SSlibKey

from edged import config as configuration
from edged.publish import files
from edged.publish.errors import KeyringError

MAGIC = b"EDGEDKY1"
COST = 16
"""log2(n) of scrypt: 64 MiB and about 0.2 s a key."""
MAX_COST = 20
SHORTEST_PASSPHRASE = 8
OWN = "sealed:"
"""The URI scheme of keys made here: `sealed:NAME.key` in one of the key folders."""
ENVIRONMENT = "env:"
"""`env:VARIABLE`: a private key in PEM in the environment, as a CI keeps the rollout's."""

Passphrase = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key: a name for people, the role that it signs for, where its private half is, its public half."""

    name: str
    role: str
    uri: str
    keyid: str
    public: Mapping[str, Any]

    @property
    def key(self) -> Key:
        return Key.from_dict(self.keyid, dict(self.public))


class Keyring:
    """The index `keys.json`, the folders where sealed keys may lie, and the passphrase that opens them."""

    def __init__(
        self, index: Path, folders: Sequence[Path], passphrase: Passphrase, cost: int = COST
    ) -> None:
        self.index, self.folders, self.passphrase, self.cost = index, tuple(folders), passphrase, cost
        self.entries: list[Entry] = _read_index(index)
        self._signers: dict[str, Signer] = {}

    def of(self, role: str) -> list[Entry]:
        """The keys that sign for a role now."""
        return [e for e in self.entries if e.role == role]

    def fresh_name(self, role: str) -> str:
        """`ROLE-N`, with the first number that no key has, or had, here."""
        taken = {e.name for e in self.entries}
        number = 1
        while f"{role}-{number}" in taken or self._found(f"{role}-{number}.key") is not None:
            number += 1
        return f"{role}-{number}"

    def create(self, role: str) -> Entry:
        """A new key in the first folder. It counts once `save` has written the index."""
        name = self.fresh_name(role)
        private = CryptoSigner(Ed25519PrivateKey.generate())
        sealed = seal(private.private_bytes, self._checked_passphrase(), name, self.cost)
        self.folders[0].mkdir(parents=True, exist_ok=True, mode=0o700)
        files.write(self.folders[0] / f"{name}.key", sealed, 0o600)
        return self._enter(name, role, f"{OWN}{name}.key", private.public_key, private)

    def enlist(self, role: str, uri: str, public: Path) -> Entry:
        """A key that lives elsewhere, by its URI and its public half in PEM."""
        try:
            key = SSlibKey.from_crypto(load_pem_public_key(public.read_bytes()))
        except (OSError, ValueError) as error:
            raise KeyringError(f"{public}: not a public key in PEM: {error}") from None
        return self._enter(self.fresh_name(role), role, uri, key, None)

    def _enter(self, name: str, role: str, uri: str, key: Key, signer: Signer | None) -> Entry:
        entry = Entry(name, role, uri, key.keyid, key.to_dict())
        self.entries.append(entry)
        if signer is not None:
            self._signers[entry.keyid] = signer
        return entry

    def retire(self, entry: Entry) -> None:
        """Takes a key out of the index; its file stays with its owner."""
        self.entries.remove(entry)

    def save(self) -> None:
        """Writes the index."""
        text = json.dumps([asdict(e) for e in self.entries], indent=1)
        files.write(self.index, text.encode() + b"\n")

    def signer(self, entry: Entry) -> Signer:
        """What signs with this key. KeyringError when its file, its passphrase or its service is not
        there."""
        if entry.keyid not in self._signers:
            self._signers[entry.keyid] = self._opened(entry)
        return self._signers[entry.keyid]

    def at_hand(self, entry: Entry) -> bool:
        """Whether the key could be used without fetching a file from its owner."""
        return not entry.uri.startswith(OWN) or self._found(entry.uri.removeprefix(OWN)) is not None

    def _found(self, file: str) -> Path | None:
        return next((folder / file for folder in self.folders if (folder / file).is_file()), None)

    def _opened(self, entry: Entry) -> Signer:
        if not entry.uri.startswith(OWN):
            return _elsewhere(entry)
        path = self._found(entry.uri.removeprefix(OWN))
        if path is None:
            places = " or ".join(str(f) for f in self.folders)
            raise KeyringError(
                f"the key {entry.name} of the role {entry.role} is not in {places}",
                remedy="mount the folder of its owner and pass it with --keys",
            )
        pem = unseal(path.read_bytes(), self._checked_passphrase(), entry.name)
        signer = CryptoSigner(load_pem_private_key(pem, None))
        if signer.public_key.keyid != entry.keyid:
            raise KeyringError(f"{path} holds another key than {self.index} states for {entry.name}")
        return signer

    def _checked_passphrase(self) -> bytes:
        phrase = self.passphrase()
        if len(phrase) < SHORTEST_PASSPHRASE:
            raise KeyringError(f"the passphrase has {len(phrase)} bytes, it must have {SHORTEST_PASSPHRASE}")
        return phrase


def _elsewhere(entry: Entry) -> Signer:
    if entry.uri.startswith(ENVIRONMENT):
        return _from_environment(entry)
    try:
        signer: Signer = Signer.from_priv_key_uri(entry.uri, entry.key)
    except Exception as error:  # each service has its own; all mean that this key cannot sign now
        raise KeyringError(f"the key {entry.name} at {entry.uri} cannot be used: {error}") from error
    return signer


def _from_environment(entry: Entry) -> Signer:
    variable = entry.uri.removeprefix(ENVIRONMENT)
    pem = configuration.secret(variable)
    if pem is None:
        raise KeyringError(f"the key {entry.name} is not here", remedy=f"set ${variable} to its PEM")
    try:
        private = load_pem_private_key(pem.encode(), None)
        signer = CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))
    except (ValueError, TypeError) as error:
        raise KeyringError(f"${variable} holds no private key in PEM: {error}") from None
    if signer.public_key.keyid != entry.keyid:
        raise KeyringError(f"${variable} holds another key than the one of {entry.name}")
    return signer


def _read_index(index: Path) -> list[Entry]:
    if not index.is_file():
        return []
    try:
        return [Entry(**fields) for fields in json.loads(index.read_bytes())]
    except (ValueError, TypeError) as error:
        raise KeyringError(f"{index}: not an index of keys: {error}") from None


def seal(private: bytes, passphrase: bytes, name: str, cost: int) -> bytes:
    """The file of a private key."""
    head, salt, nonce = MAGIC + bytes([cost]), os.urandom(16), os.urandom(12)
    sealed = AESGCM(_stretched(passphrase, salt, cost)).encrypt(nonce, private, head + name.encode())
    return head + salt + nonce + sealed


def unseal(data: bytes, passphrase: bytes, name: str) -> bytes:
    """The private key in a file. KeyringError when it is none, or the passphrase is not its own."""
    head, salt, nonce = data[:9], data[9:25], data[25:37]
    if head[:8] != MAGIC or len(data) < 53 or not 1 <= head[8] <= MAX_COST:
        raise KeyringError(f"the file of the key {name} is not a sealed key")
    try:
        return AESGCM(_stretched(passphrase, salt, head[8])).decrypt(nonce, data[37:], head + name.encode())
    except InvalidTag:
        raise KeyringError(f"the passphrase does not open the key {name}, or its file is damaged") from None


def _stretched(passphrase: bytes, salt: bytes, cost: int) -> bytes:
    memory = 128 * 8 * ((1 << cost) + 8)
    return hashlib.scrypt(passphrase, salt=salt, n=1 << cost, r=8, p=1, dklen=32, maxmem=memory)
