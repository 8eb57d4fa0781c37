"""A workspace: its folders, how it is founded, and how it is opened again.

One publisher at a time: the workspace is locked while a command works in it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from tuf.api.metadata import DelegatedRole, Delegations, Metadata, Root, Snapshot, Targets, Timestamp

from edged.publish import edition as editions
from edged.publish import files
from edged.publish.edition import Clock, Edition, Signing, encoded, metadata_path, utc_now
from edged.publish.errors import PublishError
from edged.publish.keys import COST, Keyring, Passphrase
from edged.publish.roles import DELEGATED, LISTED, ROLES, ROOT, SNAPSHOT, TIMESTAMP, TOP

Elsewhere = Mapping[str, Sequence[tuple[str, Path]]]
"""Role -> its keys that live elsewhere, as (URI, public key in PEM)."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """An open workspace. `signing` holds its keyring and clock."""

    folder: Path
    signing: Signing

    @property
    def public(self) -> Path:
        """What to copy to a static host."""
        return self.folder / "public"

    @property
    def drafts(self) -> Path:
        """Manifests that were added and not released, as MODEL/VERSION.json."""
        return self.folder / "drafts"

    @property
    def keyring(self) -> Keyring:
        return self.signing.keyring

    def edition(self) -> Edition:
        """What is served now."""
        return editions.load(self.public)


@contextmanager
def opened(
    folder: Path,
    passphrase: Passphrase,
    *,
    keys: Sequence[Path] = (),
    now: Clock = utc_now,
    cost: int | None = None,
    new: bool = False,
) -> Iterator[Workspace]:
    """The workspace in `folder`, locked. `keys`: folders with private keys, looked through before its own."""
    if not new and not (folder / "keys.json").is_file():
        raise PublishError(f"{folder} is no workspace", remedy=f"edged publish init {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PublishError(f"another `edged publish` works in {folder}", remedy="wait for it") from None
        files.sweep(folder)
        ring = Keyring(folder / "keys.json", [*keys, folder / "keys"], passphrase, cost or COST)
        yield Workspace(folder, Signing(ring, now))
    finally:
        os.close(descriptor)


def found(workspace: Workspace, elsewhere: Elsewhere | None = None) -> Edition:
    """Makes all keys and the first edition of a new workspace; `keys.json` is written last, and makes it one.
    PublishError where there is one already."""
    if workspace.keyring.entries:
        raise PublishError(f"{workspace.folder} is a workspace already", remedy="take another folder")
    given = elsewhere or {}
    for role in ROLES.values():
        there = given.get(role.name, ())
        for uri, public in there:
            workspace.keyring.enlist(role.name, uri, public)
        for _ in range(role.keys - len(there)):
            workspace.keyring.create(role.name)
    first = _first(workspace)
    first.root.signed.expires = workspace.signing.now() + timedelta(days=ROLES[ROOT].days)
    workspace.signing.sign(ROOT, first.root)
    (workspace.public / "blobs").mkdir(parents=True, exist_ok=True)
    (workspace.public / "targets").mkdir(exist_ok=True)
    files.write(metadata_path(workspace.public, ROOT, 1), encoded(first.root))
    editions.publish(workspace.public, first, LISTED, workspace.signing)
    first.check()
    workspace.keyring.save()
    return first


def _first(workspace: Workspace) -> Edition:
    ring = workspace.keyring
    root = Root(version=1, consistent_snapshot=True)
    for role in TOP:
        root.roles[role].threshold = ROLES[role].threshold
        for entry in ring.of(role):
            root.add_key(entry.key, role)
    delegated = {
        role: DelegatedRole(role, [], ROLES[role].threshold, True, paths=list(ROLES[role].paths))
        for role in DELEGATED
    }
    targets = Targets(version=1, delegations=Delegations({}, delegated))
    for role in DELEGATED:
        for entry in ring.of(role):
            targets.add_key(entry.key, role)
    listed = {role: Metadata(Targets(version=1)) for role in DELEGATED}
    first = Edition(
        Metadata(root),
        Metadata(targets),
        listed["models"],
        listed["rollout"],
        Metadata(Snapshot(version=1)),
        Metadata(Timestamp(version=1)),
    )
    for role in (*LISTED, SNAPSHOT, TIMESTAMP):
        first.of(role).signed.version = 0  # publishing makes it 1
    return first
