"""The pure parts that decide: trust (floors), rollout (which version), states (a version's life), watch (probation)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.models.errors import StoreError, TrustError
from edged.models.manifest import RolloutRule
from edged.models.rollout import choose, included, share
from edged.models.states import TRANSITIONS, Event, State, step
from edged.models.trust import Floors, Seen, advance
from edged.models.watch import SAMPLES, Figures, Limits, verdict

DAY = 86400.0
IDS = [f"device-{n}" for n in range(20_000)]


@pytest.mark.parametrize("percent", [1.0, 5.0, 25.0, 50.0, 99.0])
def test_the_share_of_20000_devices_is_within_a_point(percent: float) -> None:
    rule = RolloutRule(version=2, percent=percent, salt="s")
    count = sum(included(rule, "m", device) for device in IDS)
    assert abs(100 * count / len(IDS) - percent) < 1.0


def test_raising_the_percentage_takes_no_device_out() -> None:
    inside: set[str] = set()
    for percent in (0.0, 0.5, 1.0, 10.0, 60.0, 100.0):
        now = {d for d in IDS[:3000] if included(RolloutRule(version=2, percent=percent, salt="s"), "m", d)}
        assert inside <= now
        inside = now
    assert len(inside) == 3000


def test_another_salt_or_model_draws_another_sample() -> None:
    assert len({share(salt, model, "d") for salt in "abc" for model in "xyz"}) == 9


@pytest.mark.parametrize(
    ("rule", "given_", "version", "why"),
    [
        ({}, {}, 5, "rolled out"),
        ({}, {"active": 5}, None, "up to date"),
        ({"percent": 0.0}, {}, None, "not this device"),
        ({"percent": 0.0, "devices": ("d",)}, {}, 5, "rolled out"),
        ({"paused": True}, {}, None, "paused"),
        ({"paused": True, "floor": 4}, {"active": 3}, 5, "below the floor 4"),
        ({}, {"barred": {5}}, None, "has failed here"),
        ({}, {"floor": 6}, None, "below the floor 6"),
        ({"percent": 0.0}, {"pin": 3}, 3, "pinned"),
        ({}, {"pin": 3, "active": 3}, None, "pinned"),
        ({}, {"pin": 3, "floor": 4}, None, "below the floor"),
        ({}, {"pin": 3, "barred": {3}}, None, "has failed here"),
        ({}, {"active": 9}, 5, "rolled out"),
    ],
)
def test_choice(rule: dict[str, object], given_: dict[str, object], version: int | None, why: str) -> None:
    known = {"active": None, "pin": None, "floor": 0, "barred": set(), **given_}
    found = choose(RolloutRule(version=5, **rule), "m", "d", **known)  # type: ignore[arg-type]
    assert found.version == version
    assert why in found.reason


def test_floors_of_roles() -> None:
    floors = advance(Floors(), Seen({"timestamp": 5, "root": 1}, {"timestamp": 2 * DAY}), DAY)
    assert floors == Floors({"timestamp": 5, "root": 1}, DAY)
    with pytest.raises(TrustError, match="timestamp version 4, this device has seen 5"):
        advance(floors, Seen({"timestamp": 4}, {}), DAY)
    assert advance(floors, Seen({"timestamp": 6}, {}), DAY).versions == {"timestamp": 6, "root": 1}


def test_floor_of_the_clock() -> None:
    floors = Floors({}, 100 * DAY)
    with pytest.raises(TrustError, match=r"expired 1.0 days ago \(the device's clock was later once\)"):
        advance(floors, Seen({}, {"timestamp": 99 * DAY}), 5 * DAY)
    with pytest.raises(TrustError, match=r"expired 900\.0 days ago"):
        advance(floors, Seen({}, {"timestamp": 101 * DAY}), 1001 * DAY)
    assert advance(floors, Seen({}, {"timestamp": 101 * DAY}), 5 * DAY).clock == 100 * DAY


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1e9), st.floats(0, 1e9)), max_size=20))
def test_floors_never_go_down(steps: list[tuple[int, float, float]]) -> None:
    floors = Floors()
    for version, expires, now in steps:
        try:
            after = advance(floors, Seen({"timestamp": version}, {"timestamp": expires}), now)
        except TrustError:
            continue
        assert after.versions["timestamp"] >= floors.versions.get("timestamp", 0)
        assert floors.clock <= after.clock < expires
        floors = after


def test_a_rolled_back_version_stays_so() -> None:
    for event in Event:
        with pytest.raises(StoreError, match="it can: nothing"):
            step(State.ROLLED_BACK, event)


def test_every_state_is_reached_and_only_passing_makes_active() -> None:
    assert set(TRANSITIONS.values()) == set(State)
    into = {(s, e) for (s, e), after in TRANSITIONS.items() if after is State.ACTIVE}
    assert into == {(State.TRIAL, Event.PASS), (State.RETIRED, Event.RESTORE)}


def test_probation() -> None:
    limits = Limits(errors=0.05, slowdown=3.0)
    before = Figures(1000, 0, 100.0, 1000)
    assert verdict(Figures(100, 0, 250.0, 100), before, limits) == ""
    assert "3.1 times as long" in verdict(Figures(100, 0, 310.0, 100), before, limits)
    assert "6 of its first 100 requests failed" in verdict(Figures(94, 6, 100.0, 94), before, limits)
    assert verdict(Figures(0, SAMPLES - 1, 0.0, 0), before, limits) == ""
    assert verdict(Figures(100, 0, 900.0, 100), Figures(0, 0, 0.0, 0), limits) == ""
    assert verdict(Figures(100, 0, 900.0, 100), before, Limits(0.05, 0.0)) == ""
