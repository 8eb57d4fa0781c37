"""What the device remembers so that nobody can take it back in time: floors of versions, and of the clock.
Pure.

python-tuf keeps its last metadata in files that it does not sync; a file that a power cut has emptied counts
as absent there, and an old repository would be accepted again. And it asks the device's clock about expiry,
which may say 1990. So: every version ever accepted, and the latest time ever seen, are floors in our own
durable store, and `advance` holds what tuf has accepted against them before anything is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edged.models.errors import TrustError


@dataclass(frozen=True, slots=True)
class Seen:
    """What one refresh has accepted: role -> version, each role's expiry in seconds since 1970, and a name
    for the set of keys that signs for it."""

    versions: Mapping[str, int]
    expires: Mapping[str, float]
    keys: Mapping[str, str] = field(default_factory=dict)

    def floor(self, role: str) -> str:
        """What the role's floor is called. New keys begin a new one: a thief may have run the old one up to a
        version that the owner can never pass. Nobody goes back to old keys, as the root has a floor, too."""
        keys = self.keys.get(role, "")
        return f"{role}@{keys}" if keys else role


@dataclass(frozen=True, slots=True)
class Floors:
    """`Seen.floor` -> least version; `clock`: the latest time that was believed."""

    versions: Mapping[str, int] = field(default_factory=dict)
    clock: float = 0.0


def believed_time(now: float, floors: Floors) -> float:
    """The device's clock, unless it is behind what it once was."""
    return max(now, floors.clock)


def advance(floors: Floors, seen: Seen, now: float) -> Floors:
    """The floors after `seen`. TrustError when a role went back, or has expired by the time believed."""
    for role, version in sorted(seen.versions.items()):
        least = floors.versions.get(seen.floor(role), 0)
        if version < least:
            raise TrustError(
                f"the repository offers {role} version {version}, this device has seen {least}",
                remedy="an old copy is being served, or replayed: serve the current one",
            )
    time = believed_time(now, floors)
    for role, until in sorted(seen.expires.items()):
        if until <= time:
            behind = " (the device's clock was later once)" if time > now else ""
            raise TrustError(
                f"the repository's {role} expired {(time - until) / 86400:.1f} days ago{behind}",
                remedy="publish again with a fresh signature, or check the device's clock",
            )
    merged = dict(floors.versions)
    for role, version in seen.versions.items():
        merged[seen.floor(role)] = max(version, merged.get(seen.floor(role), 0))
    return Floors(merged, time)  # no later than the first expiry: a clock at 2099 was refused above
