"""Both ends of a conversation: every message through two of them, whole and byte by byte; who may say what."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edged_ipc import messages as m
from edged_ipc import wire
from edged_ipc.connection import Connection
from edged_ipc.errors import LocalProtocolError, RemoteProtocolError
from edged_ipc.rules import TRANSITIONS, Role, State, speaker

HELLO, WELCOME = m.Hello(1, 1, "t"), m.Welcome(1, "s", "b", m.Limits())
CONVERSATION: list[m.Message] = [
    HELLO,
    WELCOME,
    m.Open(1, "kws", 2),
    m.Opened(1, 0, 1, 128, (), ()),
    m.Attach(2, 0, 2, 256),
    m.Ack(2),
    m.Infer(3, 0, 0),
    m.Infer(4, 0, 1, 1000, 0),
    m.Cancel(4, 0, 1),
    m.Done(4, 1, 2, 3),
    m.Failed(3, 101, "full", "wait"),
    m.InferInline(5, 0, 0, b"x" * 300),
    m.DoneInline(5, 1, 2, 3, b"y" * 300),
    m.Control(6, "load", {"a": 1}),
    m.Event(6, "progress", 1),
    m.Event(0, "news"),
    m.Reply(6, [1]),
    m.Reset(7, 0),
    m.Ack(7),
    m.Close(8, 0),
    m.Ack(8),
    m.Goodbye(108, "stopping"),
]


def pair() -> dict[Role, Connection]:
    return {role: Connection(role) for role in Role}


def other(role: Role) -> Role:
    return Role.DAEMON if role is Role.CLIENT else Role.CLIENT


def opened(role: Role) -> Connection:
    """A connection of that role after the greeting."""
    ends = pair()
    for message in (HELLO, WELCOME):
        role_of = speaker(type(message))
        ends[other(role_of)].receive_data(ends[role_of].send(message))
        assert ends[other(role_of)].next_event() == message
    return ends[role]


@pytest.mark.parametrize("step", [10_000, 1, 3, 7])
def test_every_message_through_two_connections(step: int) -> None:
    ends = pair()
    for message in CONVERSATION:
        role = speaker(type(message))
        data = ends[role].send(message)
        ear = ends[other(role)]
        heard = []
        for at in range(0, len(data), step):
            ear.receive_data(data[at : at + step])
            while (event := ear.next_event()) is not None:
                heard.append(event)
        assert heard == [message]
    assert {type(x) for x in CONVERSATION} == set(wire.BY_TYPE)
    assert all(end.state is State.CLOSED and not end.outstanding for end in ends.values())


def test_many_frames_in_one_read() -> None:
    client, daemon = opened(Role.CLIENT), opened(Role.DAEMON)
    frames = [m.Infer(i, 0, i) for i in range(1, 100)]
    daemon.receive_data(b"".join(client.send(f) for f in frames))
    assert [daemon.next_event() for _ in frames] == frames
    assert daemon.next_event() is None


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", wire.BY_TYPE, ids=lambda k: k.__name__)
def test_table_of_transitions(role: Role, state: State, kind: type[m.Message]) -> None:
    """What the table does not list is refused on both sides: sent, our mistake; received, the peer's."""
    message = next(x for x in CONVERSATION if type(x) is kind)
    connection = Connection(role)
    path = {State.START: 0, State.GREETING: 1, State.OPEN: 2, State.CLOSED: 3}[state]
    for step in (HELLO, WELCOME, m.Goodbye(108, ""))[:path]:
        if speaker(type(step)) is role:
            connection.send(step)
        else:
            connection.receive_data(wire.encode(step))
            connection.next_event()
    assert connection.state is state
    legal = kind in TRANSITIONS[state]
    if speaker(kind) is role:
        if kind in {k for kinds in m.ANSWERS.values() for k in kinds}:
            asked = next(k for k, kinds in m.ANSWERS.items() if kind in kinds)
            connection.outstanding[message.request] = asked
        if kind is m.Event:
            connection.outstanding[message.request] = m.Control
        if legal:
            connection.send(message)
            assert connection.state is TRANSITIONS[state][kind]
        else:
            with pytest.raises(LocalProtocolError, match=kind.__name__):
                connection.send(message)
    elif state is State.CLOSED:
        connection.receive_data(wire.encode(message))
        assert connection.next_event() is None
    elif not legal:
        connection.receive_data(wire.encode(message))
        with pytest.raises(RemoteProtocolError, match=kind.__name__):
            connection.next_event()


@pytest.mark.parametrize("kind", wire.BY_TYPE, ids=lambda k: k.__name__)
def test_nobody_says_the_others_part(kind: type[m.Message]) -> None:
    message = next(x for x in CONVERSATION if type(x) is kind)
    with pytest.raises(LocalProtocolError):
        opened(other(speaker(kind))).send(message)
    ear = opened(speaker(kind))
    ear.receive_data(wire.encode(message))
    with pytest.raises(RemoteProtocolError):
        ear.next_event()


def test_each_request_gets_one_answer_of_its_kind() -> None:
    daemon = opened(Role.DAEMON)
    daemon.receive_data(wire.encode(m.Infer(1, 0, 0)))
    daemon.next_event()
    with pytest.raises(LocalProtocolError, match="request 2, which is not open"):
        daemon.send(m.Done(2, 0, 0, 0))
    daemon.send(m.Done(1, 0, 0, 0))
    with pytest.raises(LocalProtocolError, match="not open"):
        daemon.send(m.Done(1, 0, 0, 0))
    with pytest.raises(LocalProtocolError, match="Event"):
        daemon.send(m.Event(1, "late"))


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(m.Infer(1, 0, 0), m.Ack(1)), (m.Reset(1, 0), m.Done(1, 0, 0, 0)), (None, m.Ack(1))],
)
def test_wrong_answers_are_the_daemons_mistake(asked: m.Message | None, answered: m.Message) -> None:
    client = opened(Role.CLIENT)
    if asked is not None:
        client.send(asked)
    client.receive_data(wire.encode(answered))
    with pytest.raises(RemoteProtocolError, match="daemon sent"):
        client.next_event()


def test_request_ids_in_use_or_zero() -> None:
    client = opened(Role.CLIENT)
    client.send(m.Infer(1, 0, 0))
    with pytest.raises(LocalProtocolError, match="in use"):
        client.send(m.Infer(1, 0, 1))
    with pytest.raises(LocalProtocolError, match="not allowed"):
        client.send(m.Reset(0, 0))
    daemon = opened(Role.DAEMON)
    daemon.receive_data(wire.encode(m.Infer(1, 0, 0)) * 2)
    daemon.next_event()
    with pytest.raises(RemoteProtocolError, match="in use"):
        daemon.next_event()


HOSTILE = {
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", "no frame"),
    "flags": (wire.HEADER.pack(32, 1, wire.MAGIC, 32), "unknown flags"),
    "kind": (wire.HEADER.pack(77, 0, wire.MAGIC, 32), "unknown kind 77"),
    "long control": (wire.HEADER.pack(10, 0, wire.MAGIC, 1 << 31), "Control frame of 2147483648 bytes"),
    "long infer": (wire.HEADER.pack(32, 0, wire.MAGIC, 33), "Infer frame of 33 bytes"),
    "short infer": (wire.HEADER.pack(32, 0, wire.MAGIC, 31), "Infer frame of 31 bytes"),
    "long inline": (wire.HEADER.pack(36, 0, wire.MAGIC, 0xFFFFFFFF), "InferInline frame"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("step", [1, 1000])
def test_hostile_bytes(name: str, step: int) -> None:
    """The header is enough to refuse a frame; and the connection stays refused."""
    data, text = HOSTILE[name]
    daemon = opened(Role.DAEMON)

    def feed() -> None:
        for at in range(0, len(data), step):
            daemon.receive_data(data[at : at + step])
            assert daemon.next_event() is None

    with pytest.raises(RemoteProtocolError, match=text):
        feed()
    daemon.receive_data(wire.encode(m.Infer(1, 0, 0)))
    with pytest.raises(RemoteProtocolError, match=text):
        daemon.next_event()


def test_limits_bound_frames() -> None:
    daemon = opened(Role.DAEMON)
    daemon.limits["control"] = 100
    daemon.receive_data(wire.encode(m.Control(1, "x", b"y" * 80)))
    assert isinstance(daemon.next_event(), m.Control)
    daemon.receive_data(wire.encode(m.Control(2, "x", b"y" * 100)))
    with pytest.raises(RemoteProtocolError, match="Control frame"):
        daemon.next_event()


def test_wanted() -> None:
    daemon = opened(Role.DAEMON)
    frame = wire.encode(m.InferInline(1, 0, 0, bytes(1000)))
    daemon.receive_data(frame[:5])
    assert daemon.wanted == 0
    daemon.receive_data(frame[5:100])
    assert daemon.wanted == len(frame) - 100


def test_fds_go_with_their_attach() -> None:
    daemon = opened(Role.DAEMON)
    frames = [wire.encode(m.Attach(i, 0, 1, 64)) for i in (1, 2, 3)]
    daemon.receive_data(frames[0][:10], [7])
    daemon.receive_data(frames[0][10:] + frames[1], [None])
    daemon.receive_data(frames[2])
    events = [daemon.next_event() for _ in frames]
    assert [x.fd for x in events] == [7, None, None]
    assert daemon.parked_fds() == []


def test_flood_of_fds() -> None:
    daemon = opened(Role.DAEMON)
    for fd in range(2):
        daemon.receive_data(b"", [fd])
        assert daemon.next_event() is None
    daemon.receive_data(b"", [2])
    with pytest.raises(RemoteProtocolError, match="file descriptors"):
        daemon.next_event()
    assert daemon.parked_fds() == [0, 1, 2]


def test_states_only_go_on() -> None:
    order = list(State)
    for state, moves in TRANSITIONS.items():
        assert all(order.index(after) >= order.index(state) for after in moves.values())
    assert all(set(TRANSITIONS[b]) - {m.Goodbye} for a, b in pairwise(order) if b is not State.CLOSED)
