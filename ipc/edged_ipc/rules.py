"""Who may say what when, as tables. `edged_ipc.connection` walks them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edged_ipc import messages as m
from edged_ipc.messages import ANSWERS, FROM_CLIENT, Message
from edged_ipc.wire import BY_TYPE, Form


class Role(Enum):
    """Which end this is."""

    CLIENT = "client"
    DAEMON = "daemon"


class State(Enum):
    """Of the conversation: both ends go through the same states."""

    START = "start"
    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


TRANSITIONS: dict[State, dict[type[Message], State]] = {
    State.START: {m.Hello: State.GREETING, m.Goodbye: State.CLOSED},
    State.GREETING: {m.Welcome: State.OPEN, m.Goodbye: State.CLOSED},
    State.OPEN: {
        **{kind: State.OPEN for kind in BY_TYPE if kind not in (m.Hello, m.Welcome)},
        m.Goodbye: State.CLOSED,
    },
    State.CLOSED: {},
}
"""What may be said in a state, and the state after it. Who says it follows from FROM_CLIENT."""
ANSWER_KINDS = frozenset(kind for kinds in ANSWERS.values() for kind in kinds)


def speaker(kind: type[Message]) -> Role:
    """Who sends messages of this kind."""
    return Role.CLIENT if kind in FROM_CLIENT else Role.DAEMON


@dataclass(frozen=True, slots=True)
class Rule:
    """All that a connection has to know of one kind of message in one state, in one place: it is looked up
    for every frame. `moves`: the state changes to `after`."""

    form: Form
    after: State
    moves: bool
    asks: bool
    answers: bool


def _rules(state: State, who: Role) -> dict[type[Message], Rule]:
    return {
        kind: Rule(BY_TYPE[kind], after, after is not state, kind in ANSWERS, kind in ANSWER_KINDS)
        for kind, after in TRANSITIONS[state].items()
        if speaker(kind) is who
    }


SAID: dict[Role, dict[State, dict[type[Message], Rule]]] = {
    role: {state: _rules(state, role) for state in State} for role in Role
}
"""What each end may say in a state."""
HEARD: dict[Role, dict[State, dict[int, Rule]]] = {
    Role.CLIENT: {s: {r.form.kind: r for r in SAID[Role.DAEMON][s].values()} for s in State},
    Role.DAEMON: {s: {r.form.kind: r for r in SAID[Role.CLIENT][s].values()} for s in State},
}
"""What each end may hear in a state, by the frame's kind byte."""
