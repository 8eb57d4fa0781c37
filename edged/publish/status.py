"""What a workspace holds, as plain data: for `--json`, and for the tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edged.models.manifest import Manifest, RolloutRule
from edged.publish.edition import Edition
from edged.publish.errors import PublishError
from edged.publish.release import drafts, released
from edged.publish.roles import LISTED, ROLES, ROOT
from edged.publish.rollout import channels
from edged.publish.workspace import Workspace

SOON = 0.25
"""A role is due when less than this share of its time is left."""


def facts(workspace: Workspace) -> dict[str, Any]:
    """Everything about a workspace that is no secret."""
    now = workspace.edition()
    return {
        "workspace": str(workspace.folder),
        "roles": [role_facts(workspace, now, role) for role in ROLES],
        "versions": [version_facts(m) for m in released(workspace, now)],
        "drafts": [version_facts(m) for m in drafts(workspace)],
        "rollouts": [
            rule_facts(r.channel, model, rule)
            for r in channels(workspace, now)
            for model, rule in r.models.items()
        ],
    }


def role_facts(workspace: Workspace, now: Edition, role: str) -> dict[str, Any]:
    """Version, expiry, and which keys sign, with those that are not at hand."""
    signed = now.of(role).signed
    left = (signed.expires - workspace.signing.now()).total_seconds() / 86400
    keys = workspace.keyring.of(role)
    return {
        "role": role,
        "version": signed.version,
        "expires": signed.expires.isoformat(),
        "days_left": round(left, 2),
        "due": left < SOON * ROLES[role].days,
        "threshold": ROLES[role].threshold,
        "keys": [e.name for e in keys],
        "away": [e.name for e in keys if not workspace.keyring.at_hand(e)],
    }


def version_facts(manifest: Manifest) -> dict[str, Any]:
    """One version, without its chunk digests."""
    return {
        "model": manifest.model,
        "version": manifest.version,
        "floor": manifest.floor,
        "bytes": manifest.file.length,
        "sha256": manifest.file.sha256,
        "encrypted": manifest.encrypted,
        "deltas": [
            {"base": d.base, "algorithm": d.algorithm, "bytes": d.blob.length} for d in manifest.deltas
        ],
        "cases": manifest.golden.cases,
        "tolerance": manifest.golden.tolerance,
        "latency_us": manifest.golden.latency_us,
        "notes": manifest.notes,
    }


def rule_facts(channel: str, model: str, rule: RolloutRule) -> dict[str, Any]:
    """One rule of a rollout."""
    return {
        "channel": channel,
        "model": model,
        "version": rule.version,
        "percent": rule.percent,
        "devices": list(rule.devices),
        "paused": rule.paused,
        "floor": rule.floor,
    }


def checked_roles(names: Iterable[str]) -> list[str]:
    """The names, when all of them are roles whose expiry can be renewed."""
    given = list(names)
    for name in given:
        if name not in (ROOT, *LISTED):
            raise PublishError(
                f"there is nothing to renew for {name!r}",
                remedy=f"one of {', '.join((ROOT, *LISTED))}; snapshot and timestamp are renewed every time",
            )
    return given
