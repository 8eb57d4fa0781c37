"""The roles of a repository, as one table: who signs what, how many must, and for how long it holds.

root and targets are offline; `models` (two people: who trained, who releases) and `rollout` are delegated by
targets; snapshot and timestamp are signed at every publication. `rollout` can only choose among what `models`
signed: a device looks for models/* in no other role, as both delegations end the search.
"""

from __future__ import annotations

from dataclasses import dataclass

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
MODELS, ROLLOUT = "models", "rollout"


@dataclass(frozen=True, slots=True)
class Role:
    """`keys` of which `threshold` must sign; `days` until it expires; `paths` of targets for a delegated
    one."""

    name: str
    keys: int
    threshold: int
    days: int
    offline: bool
    paths: tuple[str, ...] = ()


ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(ROOT, 3, 2, 365, True),
        Role(TARGETS, 1, 1, 180, True),
        Role(MODELS, 2, 2, 90, True, ("models/*/*",)),
        Role(ROLLOUT, 1, 1, 14, False, ("rollout/*",)),
        Role(SNAPSHOT, 1, 1, 7, False),
        Role(TIMESTAMP, 1, 1, 1, False),
    )
}

TOP = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
DELEGATED = (MODELS, ROLLOUT)
LISTED = (TARGETS, MODELS, ROLLOUT)
"""What a snapshot lists."""

BUNDLE_DAYS = (30, 90)
"""How long the timestamp of a bundle (a stick, a tar) may hold: as nobody can refresh it on the way."""
