"""Rollouts choose among released versions only; a share grows without drawing new devices."""

from __future__ import annotations

import pytest

from edged.models import rollout as rules
from edged.models.manifest import RolloutRule
from edged.publish import release, rollout
from edged.publish.errors import PublishError
from edged.publish.rollout import Change
from edged.publish.workspace import Workspace


def test_a_version_that_nobody_released_is_refused(opened: Workspace) -> None:
    with pytest.raises(PublishError, match="digits 2 is not released"):
        rollout.change(opened, "stable", "digits", Change(version=2))


def test_a_channel_without_a_rule_needs_a_version(opened: Workspace) -> None:
    with pytest.raises(PublishError, match="no rule for digits"):
        rollout.change(opened, "beta", "digits", Change(percent=5))


def test_parts_that_are_not_named_stay(opened: Workspace) -> None:
    rollout.change(opened, "stable", "digits", Change(percent=10, devices=["a", "b"]))
    rule = rollout.change(opened, "stable", "digits", Change(paused=True))
    assert rule == RolloutRule(version=1, percent=10, salt="digits-1", devices=("a", "b"), paused=True)
    assert rollout.current_rollout(opened, opened.edition(), "stable").models == {"digits": rule}


def test_channels_are_apart(opened: Workspace) -> None:
    rollout.change(opened, "beta", "digits", Change(version=1, percent=1))
    found = rollout.channels(opened, opened.edition())
    assert [(r.channel, r.models["digits"].percent) for r in found] == [("beta", 1), ("stable", 100)]


def test_a_new_version_starts_anew_with_its_own_salt() -> None:
    before = RolloutRule(version=1, percent=10, salt="digits-1", devices=("a",), paused=True)
    after = rollout.changed_rule(before, "digits", Change(version=2))
    assert after == RolloutRule(version=2, percent=100, salt="digits-2", devices=("a",), paused=False)


def test_a_version_below_the_floor_is_refused() -> None:
    before = RolloutRule(version=3, floor=3)
    with pytest.raises(PublishError, match="below the channel's floor 3"):
        rollout.changed_rule(before, "digits", Change(version=2))


def test_shares_hit_their_percentage_and_only_grow(opened: Workspace) -> None:
    devices = [f"gateway-{i}" for i in range(20_000)]
    inside: set[str] = set()
    for percent in (1, 5, 25, 50, 100):
        rule = rollout.change(opened, "stable", "digits", Change(percent=percent))
        now = {d for d in devices if rules.included(rule, "digits", d)}
        assert abs(len(now) / len(devices) * 100 - percent) < 1
        assert inside <= now
        inside = now


def test_other_models_of_the_channel_are_left_alone(opened: Workspace) -> None:
    from edged.demo import FOLDER

    release.add(opened, FOLDER / "digits_float.tflite", "other", 7)
    release.release(opened)
    rollout.change(opened, "stable", "other", Change(version=7, percent=3))
    models = rollout.current_rollout(opened, opened.edition(), "stable").models
    assert {name: rule.version for name, rule in models.items()} == {"digits": 1, "other": 7}
