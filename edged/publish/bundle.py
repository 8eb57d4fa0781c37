"""A bundle: the public folder as of now, for gateways without a network, with a timestamp that holds for
months.

Its timestamp is one version ahead of what was public, and the next public one is ahead of it in turn: so a
gateway takes the stick after the network, and the network after the stick.
"""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

from edged.publish import edition, files
from edged.publish.errors import PublishError
from edged.publish.roles import BUNDLE_DAYS, LISTED, SNAPSHOT, TIMESTAMP
from edged.publish.workspace import Workspace


def bundle(workspace: Workspace, place: Path, days: int) -> int:
    """Copies the public folder to `place`, which must not exist, and signs its metadata to hold for `days`
    (30 to 90; never longer than the root). Bytes copied. Publishes a fresh timestamp as well."""
    least, most = BUNDLE_DAYS
    if not least <= days <= most:
        raise PublishError(f"a bundle may hold for {least} to {most} days, not {days}")
    if place.exists():
        raise PublishError(f"{place} is there already", remedy="name a folder that does not exist")
    now = workspace.edition()
    until = workspace.signing.now() + timedelta(days=days)
    if now.root.signed.expires < until:
        raise PublishError(
            f"the root expires on {now.root.signed.expires:%Y-%m-%d}, before the bundle would",
            remedy="edged publish release --renew root",
        )
    part = place.with_name(place.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(workspace.public, part, ignore=shutil.ignore_patterns(".*"))
    changed = [role for role in LISTED if now.of(role).signed.expires < until]
    lasting = dict.fromkeys((*changed, SNAPSHOT, TIMESTAMP), days)
    edition.publish(part, now, changed, workspace.signing, days=lasting)
    edition.publish(workspace.public, now, changed, workspace.signing)  # ahead of the bundle before it exists
    part.rename(place)
    files.sync_folder(place.parent)
    return sum(p.stat().st_size for p in place.rglob("*") if p.is_file())
