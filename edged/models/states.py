"""The life of one version of one model on this device, as one table. Pure.

A version becomes STAGED when all its bytes are on disk and verified. TRIAL begins by counting an attempt,
durably, *before* anything risky; a trial that never reports (crash, power cut) is begun again until ATTEMPTS
are used up. ACTIVE serves, and is watched for a while; RETIRED has served and could again; ROLLED_BACK is for
ever: a version that failed here is not tried a second time, a mended one gets a new number.
"""

from __future__ import annotations

from enum import StrEnum

from edged.models.errors import StoreError

ATTEMPTS = 3
"""Crashes in trial, or in the watch window, after which a version is barred."""


class State(StrEnum):
    STAGED = "staged"
    TRIAL = "trial"
    ACTIVE = "active"
    RETIRED = "retired"
    ROLLED_BACK = "rolled back"


class Event(StrEnum):
    """What happens to a version. stage: wanted, bytes there. try: a trial begins. pass, fail: its verdict, or
    that of the watch window. replace: another one serves now. restore: it serves again."""

    STAGE = "stage"
    TRY = "try"
    PASS = "pass"
    FAIL = "fail"
    REPLACE = "replace"
    RESTORE = "restore"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.STAGED, Event.STAGE): State.STAGED,
    (State.STAGED, Event.TRY): State.TRIAL,
    (State.STAGED, Event.FAIL): State.ROLLED_BACK,
    (State.TRIAL, Event.STAGE): State.TRIAL,
    (State.TRIAL, Event.TRY): State.TRIAL,
    (State.TRIAL, Event.PASS): State.ACTIVE,
    (State.TRIAL, Event.FAIL): State.ROLLED_BACK,
    (State.ACTIVE, Event.FAIL): State.ROLLED_BACK,
    (State.ACTIVE, Event.REPLACE): State.RETIRED,
    (State.RETIRED, Event.STAGE): State.STAGED,
    (State.RETIRED, Event.RESTORE): State.ACTIVE,
    (State.RETIRED, Event.FAIL): State.ROLLED_BACK,
}

KEPT = frozenset({State.STAGED, State.TRIAL, State.ACTIVE})
"""States whose bytes must stay on disk, together with the newest RETIRED version of each model."""


def step(state: State, event: Event) -> State:
    """The state after `event`. StoreError for what the table does not allow."""
    after = TRANSITIONS.get((state, event))
    if after is None:
        allowed = ", ".join(e for s, e in TRANSITIONS if s is state) or "nothing"
        raise StoreError(f"a version that is {state} cannot {event}", remedy=f"it can: {allowed}")
    return after
