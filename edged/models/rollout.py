"""Which version this device should run: a channel's signed rule, the device's own pins, and what is barred.
Pure.

A device is in a percentage when sha256("salt:model:device") / 2^256 lies below it, so that raising the
percentage never takes a device out again, and another salt draws another sample.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from edged.models.manifest import Rollout, RolloutRule


@dataclass(frozen=True, slots=True)
class Choice:
    """The version to run, None to stay; `reason` says why, for `edged models`."""

    version: int | None
    reason: str


def share(salt: str, model: str, device: str) -> float:
    """Where the device falls, 0 <= share < 100: the first 64 bits of the hash, in percent."""
    digest = hashlib.sha256(f"{salt}:{model}:{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100.0


def included(rule: RolloutRule, model: str, device: str) -> bool:
    """Whether the rule is for this device."""
    return device in rule.devices or share(rule.salt, model, device) < rule.percent


def choose(
    rule: RolloutRule, model: str, device: str, *, active: int | None, pin: int | None,
    floor: int, barred: Collection[int],
) -> Choice:  # fmt: skip
    """What this device should run. `floor`: the highest that was ever signed for the model; `barred`:
    versions that failed here. A pin wins over percentages and pauses, never over floors or failures."""
    floor = max(floor, rule.floor)
    wanted = rule.version if pin is None else pin
    below = active is not None and active < floor
    if wanted in barred:
        return Choice(None, f"version {wanted} has failed here")
    if wanted < floor:
        return Choice(None, f"version {wanted} is below the floor {floor}")
    if pin is not None:
        return Choice(None if pin == active else pin, f"pinned to {pin}")
    if wanted == active:
        return Choice(None, "up to date")
    if below:
        return Choice(wanted, f"version {active} is below the floor {floor}")
    if rule.paused:
        return Choice(None, f"the rollout of {wanted} is paused")
    if not included(rule, model, device):
        return Choice(None, f"the rollout of {wanted} has reached {rule.percent:g} %, not this device")
    return Choice(wanted, f"rolled out to {rule.percent:g} %")


def wanted_models(rollout: Rollout, only: Collection[str]) -> dict[str, RolloutRule]:
    """The rules for the models this device is interested in; an empty `only` means all of the channel."""
    return {name: rule for name, rule in rollout.models.items() if not only or name in only}
