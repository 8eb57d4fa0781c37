"""Rollouts: which released version the devices of a channel run, for what share of them, and which by
name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edged.models.manifest import (
    Rollout,
    RolloutRule,
    check_name,
    decode_rollout,
    encode,
    manifest_path,
    rollout_path,
)
from edged.publish import edition
from edged.publish.edition import Edition
from edged.publish.errors import PublishError
from edged.publish.release import target, target_bytes
from edged.publish.roles import ROLLOUT
from edged.publish.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different; None leaves a part as it is. A version that is new in the channel starts with
    its own salt, so that it is not always the same devices that go first."""

    version: int | None = None
    percent: float | None = None
    devices: Sequence[str] | None = None
    paused: bool | None = None
    floor: int | None = None


def current_rollout(workspace: Workspace, now: Edition, channel: str) -> Rollout:
    """The rollout of a channel; an empty one for a channel that has none."""
    listed = now.rollout.signed.targets.get(rollout_path(channel))
    if listed is None:
        return Rollout(channel=channel, models={})
    return decode_rollout(target_bytes(workspace, listed), channel)


def channels(workspace: Workspace, now: Edition) -> list[Rollout]:
    """All rollouts."""
    names = [Path(name).stem for name in now.rollout.signed.targets]
    return [current_rollout(workspace, now, name) for name in sorted(names)]


def change(workspace: Workspace, channel: str, model: str, asked: Change) -> RolloutRule:
    """Publishes the changed rule of a model. PublishError for a version that is not released."""
    check_name(channel, "channel")
    now = workspace.edition()
    before = current_rollout(workspace, now, channel)
    rule = changed_rule(before.models.get(model), model, asked)
    if manifest_path(model, rule.version) not in now.models.signed.targets:
        raise PublishError(
            f"{model} {rule.version} is not released", remedy="edged publish add, edged publish release"
        )
    document = Rollout(channel=channel, models={**before.models, model: rule})
    bodies = target(now.rollout.signed.targets, rollout_path(channel), encode(document))
    edition.publish(workspace.public, now, {ROLLOUT}, workspace.signing, targets=bodies)
    return rule


def changed_rule(before: RolloutRule | None, model: str, asked: Change) -> RolloutRule:
    """The rule after a change. PublishError when there is nothing to change, or the version falls below the
    floor."""
    version = asked.version or (before.version if before else None)
    if version is None:
        raise PublishError(f"the channel has no rule for {model}", remedy="name a version")
    same = before is not None and before.version == version
    percent = asked.percent if asked.percent is not None else before.percent if before and same else 100.0
    paused = asked.paused if asked.paused is not None else bool(before and same and before.paused)
    devices = asked.devices if asked.devices is not None else before.devices if before else ()
    floor = asked.floor if asked.floor is not None else before.floor if before else 0
    if version < floor:
        raise PublishError(f"{model} {version} is below the channel's floor {floor}: devices would refuse it")
    salt = before.salt if before and same else f"{model}-{version}"
    return RolloutRule(
        version=version, percent=percent, salt=salt, floor=floor, devices=tuple(devices), paused=paused
    )
