"""New keys for a role, with no moment in which a device is refused.

A delegated role: its metadata is signed by old and new keys, and the targets that name the new ones become
public with it, under one timestamp. A role of the root: first its metadata is signed by old and new keys and
published, which holds under the old root; then the new root, which takes one rename. The root itself: the
new root is signed by enough of the old keys and enough of the new ones. After that only the new keys sign.

What a stolen key has signed ends here: devices follow the root, and a new timestamp or snapshot key makes
them forget what the old one promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from tuf.api.metadata import Root

from edged.publish import edition, files
from edged.publish.edition import Edition, encoded, metadata_path, newest
from edged.publish.errors import PublishError
from edged.publish.keys import Entry
from edged.publish.roles import DELEGATED, ROLES, ROOT, TARGETS
from edged.publish.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Rotated:
    """The keys that went and the ones that came."""

    role: str
    old: tuple[Entry, ...]
    new: tuple[Entry, ...]


def rotate(workspace: Workspace, role: str, names: Sequence[str] = ()) -> Rotated:
    """Gives a role new keys in place of those called `names`, or of all. Needs the old keys of the role, and
    the keys of its delegator (root, or targets for models and rollout)."""
    if role not in ROLES:
        raise PublishError(f"there is no role {role!r}", remedy="roles: " + ", ".join(ROLES))
    settle(workspace)
    ring = workspace.keyring
    own = ring.of(role)
    old = [e for e in own if not names or e.name in names]
    unknown = set(names) - {e.name for e in own}
    if unknown:
        raise PublishError(
            f"{role} has no key {', '.join(sorted(unknown))}",
            remedy="it has " + ", ".join(e.name for e in own),
        )
    now = workspace.edition()
    new = [ring.create(role) for _ in old]
    ring.save()  # from here on old and new keys sign, until what is public tells which count
    if role in DELEGATED:
        _delegate(workspace, now, role, old, new)
    else:
        _reroot(workspace, now, role, old, new)
    settle(workspace)
    return Rotated(role, tuple(old), tuple(new))


def settle(workspace: Workspace) -> None:
    """Takes the keys out of the index that what is public does not name: the old ones of a rotation, or the
    new ones of a rotation that was interrupted."""
    now, ring = workspace.edition(), workspace.keyring
    stale = [e for e in ring.entries if e.keyid not in _keyids(now, e.role)]
    for entry in stale:
        ring.retire(entry)
    if stale:
        ring.save()


def _keyids(now: Edition, role: str) -> Sequence[str]:
    if role in DELEGATED:
        delegations = now.targets.signed.delegations
        return delegations.roles[role].keyids if delegations and delegations.roles else []
    return now.root.signed.roles[role].keyids


def _delegate(workspace: Workspace, now: Edition, role: str, old: list[Entry], new: list[Entry]) -> None:
    targets = now.targets.signed
    for entry in old:
        targets.revoke_key(entry.keyid, role)
    for entry in new:
        targets.add_key(entry.key, role)
    edition.publish(workspace.public, now, {TARGETS, role}, workspace.signing)


def _reroot(workspace: Workspace, now: Edition, role: str, old: list[Entry], new: list[Entry]) -> None:
    if role != ROOT:
        edition.publish(workspace.public, now, {role}, workspace.signing)
    root: Root = now.root.signed
    for entry in old:
        root.revoke_key(entry.keyid, role)
    for entry in new:
        root.add_key(entry.key, role)
    renew_root(workspace, now)


def renew_root(workspace: Workspace, now: Edition) -> int:
    """Publishes the next root, its expiry starting anew; the version."""
    root: Root = now.root.signed
    root.version = newest(workspace.public, ROOT) + 1
    root.expires = workspace.signing.now() + timedelta(days=ROLES[ROOT].days)
    workspace.signing.sign(ROOT, now.root)
    now.check()
    files.write(metadata_path(workspace.public, ROOT, root.version), encoded(now.root))
    return root.version
