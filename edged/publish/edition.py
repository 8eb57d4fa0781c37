"""An edition: the metadata of all roles as one timestamp names them, and how the next one is made.

Everything is made and signed in memory first, so a key that is missing leaves nothing behind. The order of
writing is: target files, then targets, models and rollout, then the snapshot, and the timestamp last. Every
file but the timestamp has its version in its name and is never written twice, so an interrupted publication
leaves the old edition served, whole. Only the root is found by its number and not through the timestamp:
`rotation` says how it changes without a moment in which devices are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.exceptions import RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from edged.publish import files
from edged.publish.errors import PublishError
from edged.publish.keys import Keyring
from edged.publish.roles import DELEGATED, LISTED, MODELS, ROLES, ROLLOUT, ROOT, SNAPSHOT, TARGETS, TIMESTAMP

Clock = Callable[[], datetime]
_SERIALIZER = JSONSerializer(compact=True)


def utc_now() -> datetime:
    """Now, in whole seconds, as metadata states times."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(slots=True)
class Edition:
    """The metadata of every role. Change `signed` parts in place, then `publish` with the changed roles."""

    root: Metadata[Root]
    targets: Metadata[Targets]
    models: Metadata[Targets]
    rollout: Metadata[Targets]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]

    def of(self, role: str) -> Metadata[Any]:
        """The metadata of a role by its name."""
        found: Metadata[Any] = getattr(self, role)
        return found

    def check(self) -> None:
        """PublishError unless every role is signed as its delegator asks."""
        root, targets = self.root.signed, self.targets.signed
        try:
            for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP):
                metadata = self.of(role)
                root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
            for role in DELEGATED:
                metadata = self.of(role)
                targets.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except (RepositoryError, ValueError) as error:
            raise PublishError(f"the repository is not consistent: {error}") from None


@dataclass(slots=True)
class Signing:
    """Who signs, and by which clock metadata expires."""

    keyring: Keyring
    now: Clock = utc_now

    def sign(self, role: str, metadata: Metadata[Any]) -> None:
        """Puts the signatures of all keys of the role that are at hand on it, at least as many as it
        needs."""
        own = self.keyring.of(role)
        usable = [e for e in own if self.keyring.at_hand(e)]
        if len(usable) < ROLES[role].threshold:
            usable = own  # signing names the one that is missing
        metadata.signatures.clear()
        for entry in usable:
            try:
                metadata.sign(self.keyring.signer(entry), append=True)
            except UnsignedMetadataError as error:
                raise PublishError(f"the key {entry.name} did not sign: {error}") from error


def metadata_path(public: Path, role: str, version: int) -> Path:
    """Where the metadata of a role lies."""
    name = f"{role}.json" if role == TIMESTAMP else f"{version}.{role}.json"
    return public / "metadata" / name


def load(public: Path) -> Edition:
    """The edition that is served now, its signatures checked."""
    timestamp = _read(metadata_path(public, TIMESTAMP, 0), Timestamp)
    snapshot = _read(metadata_path(public, SNAPSHOT, timestamp.signed.snapshot_meta.version), Snapshot)
    listed = {
        role: _read(metadata_path(public, role, snapshot.signed.meta[f"{role}.json"].version), Targets)
        for role in LISTED
    }
    root = _read(metadata_path(public, ROOT, newest(public, ROOT)), Root)
    edition = Edition(root, listed[TARGETS], listed[MODELS], listed[ROLLOUT], snapshot, timestamp)
    edition.check()
    return edition


def _read(path: Path, kind: type[Any]) -> Metadata[Any]:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except OSError as error:
        raise PublishError(
            f"{path}: {error.strerror}", remedy="`edged publish init` makes a workspace"
        ) from None
    except DeserializationError as error:
        raise PublishError(f"{path}: not metadata: {error}") from None
    if not isinstance(metadata.signed, kind):
        raise PublishError(f"{path}: holds metadata of another role")
    return metadata


def newest(public: Path, role: str) -> int:
    """The highest version of a role that lies on disk, also of a publication that was interrupted; 0 for
    none."""
    pattern = re.compile(rf"(\d+)\.{re.escape(role)}\.json")
    found = (pattern.fullmatch(p.name) for p in (public / "metadata").glob(f"*.{role}.json"))
    return max((int(m[1]) for m in found if m), default=0)


def publish(
    public: Path,
    edition: Edition,
    changed: Iterable[str],
    signing: Signing,
    *,
    targets: Mapping[Path, bytes] | None = None,
    days: Mapping[str, int] | None = None,
) -> None:
    """Makes `edition` the one that is served: new versions of the `changed` ones of targets, models and
    rollout, a new snapshot and timestamp. `targets`: target files by path; `days`: roles that hold for
    another time than usual. Whatever stops it, what was served before still is."""
    roles = [role for role in LISTED if role in set(changed)]
    lasting = {role.name: role.days for role in ROLES.values()} | dict(days or {})
    for role in roles:
        _renew(public, edition, role, signing, lasting)
        edition.snapshot.signed.meta[f"{role}.json"] = _described(edition.of(role))
    _renew(public, edition, SNAPSHOT, signing, lasting)
    edition.timestamp.signed.snapshot_meta = _described(edition.snapshot)
    _renew(public, edition, TIMESTAMP, signing, lasting)
    for path, data in (targets or {}).items():
        files.write(public / path, data)
    for role in (*roles, SNAPSHOT, TIMESTAMP):
        metadata = edition.of(role)
        files.write(metadata_path(public, role, metadata.signed.version), encoded(metadata))


def _renew(public: Path, edition: Edition, role: str, signing: Signing, days: Mapping[str, int]) -> None:
    metadata = edition.of(role)
    metadata.signed.version = max(metadata.signed.version, newest(public, role)) + 1
    metadata.signed.expires = signing.now() + timedelta(days=days[role])
    signing.sign(role, metadata)


def _described(metadata: Metadata[Any]) -> MetaFile:
    return MetaFile(metadata.signed.version, len(encoded(metadata)))


def encoded(metadata: Metadata[Any]) -> bytes:
    """The file of it."""
    return bytes(_SERIALIZER.serialize(metadata))
