"""Invariant: any bytes, cut anywhere, give the same messages and then the same RemoteProtocolError or silence.

Beside it: no other exception, no more memory than a frame may have, and every message heard can be said again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from edged_ipc import messages as m
from edged_ipc import wire
from edged_ipc.connection import Connection
from edged_ipc.errors import RemoteProtocolError
from edged_ipc.rules import Role, State, speaker

LIMIT = 4096
ORDINARY, FULL = 30_000, 1_000_000
FRAMES_AT_ONCE = 20


def number(rng: random.Random, bits: int) -> int:
    return rng.choice((0, 1, 2, 3, rng.getrandbits(bits), (1 << bits) - 1))


def body(rng: random.Random) -> object:
    return rng.choice((None, 1, "text", b"raw", [1, [2, {"a": None}]], {"k": 2.5}, "x" * rng.randrange(600)))


def message(rng: random.Random, kind: type[m.Message], request: int) -> m.Message:
    """A random message about `request`; now and then about another one."""
    request, small = number(rng, 64) if rng.random() < 0.01 else request, number(rng, 32)
    payload = rng.randbytes(rng.randrange(300))
    made: dict[type[m.Message], tuple[object, ...]] = {
        m.Hello: (1, small, "fuzz"), m.Welcome: (1, "s", "b", m.Limits()), m.Goodbye: (small, "bye"),
        m.Open: (request, "model", small, rng.random() < 0.5), m.Close: (request, small), m.Ack: (request,),
        m.Opened: (request, small, 1, 64, (m.TensorSpec("a", "int8", (4,), 4),), ()), m.Reset: (request, small),
        m.Attach: (request, small, 1, 64), m.Control: (request, "name", body(rng)), m.Reply: (request, body(rng)),
        m.Event: (request, "news", body(rng)), m.Infer: (request, small, small, request, rng.getrandbits(8)),
        m.Done: (request, small, small, small), m.Failed: (request, rng.getrandbits(16), "what", "mend"),
        m.Cancel: (request, small, small), m.InferInline: (request, small, small, payload),
        m.DoneInline: (request, small, small, small, payload),
    }  # fmt: skip
    return kind(*made[kind])


def mutated(rng: random.Random, frame: bytes) -> bytes:
    """A frame that was changed in one of the ways that programs and links change frames."""
    if len(frame) < wire.HEADER_BYTES:
        return frame  # cut off by an earlier mutation
    data = bytearray(frame)
    way = rng.randrange(6)
    if way == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif way == 1:
        del data[rng.randrange(len(data)) :]
    elif way == 2:
        data[4:8] = rng.choice((0, 1, 7, LIMIT, LIMIT + 1, 1 << 31, (1 << 32) - 1)).to_bytes(4, "little")
    elif way == 3:
        at = rng.randrange(len(data))
        data[at:at] = rng.randbytes(rng.randrange(1, 9))
    elif way == 4:
        data[0] = rng.randrange(256)
    else:
        at = rng.randrange(8, len(data) + 1)
        data[at : at + 8] = rng.randbytes(len(data[at : at + 8]))
    return bytes(data)


def fitting(rng: random.Random, ear: Role, turn: int) -> tuple[type[m.Message], int]:
    """A kind of message, and a request, that `ear` may well hear as the `turn`th one."""
    if ear is Role.DAEMON:
        return rng.choice(sorted(m.FROM_CLIENT - {m.Hello}, key=lambda k: k.__name__)), turn
    if rng.random() < 0.2:
        return m.Event, rng.choice((0, turn))
    return rng.choice(sorted(m.ANSWERS[asked(turn)], key=lambda k: k.__name__)), turn


def asked(request: int) -> type[m.Message]:
    """What a client under test has asked with that id."""
    kinds = list(m.ANSWERS)
    return kinds[request % len(kinds)]


def stream(rng: random.Random, ear: Role) -> bytes:
    """What a peer of `ear` might send: mostly good frames, one bad one among them more often than not."""
    frames = [wire.encode(message(rng, *fitting(rng, ear, i))) for i in range(1, FRAMES_AT_ONCE + 1)]
    for _ in range(rng.randrange(3)):
        at = rng.randrange(len(frames))
        frames[at] = mutated(rng, frames[at])
    return b"".join(frames)


def opened(ear: Role) -> Connection:
    """A connection after the greeting; a client has requests open that answers may fit."""
    connection = Connection(ear, control_bytes=LIMIT, inline_bytes=LIMIT)
    for step in (m.Hello(1, 1, ""), m.Welcome(1, "", "", m.Limits())):
        if speaker(type(step)) is ear:
            connection.send(step)
        else:
            connection.receive_data(wire.encode(step))
            connection.next_event()
    if ear is Role.CLIENT:
        connection.outstanding.update({i: asked(i) for i in range(1, FRAMES_AT_ONCE + 1)})
    return connection


def hear(connection: Connection, pieces: Iterator[bytes]) -> tuple[list[m.Message], str]:
    """All messages, and the words of the error that ended them ("" for none)."""
    heard: list[m.Message] = []
    most = LIMIT + wire.HEADER_BYTES
    try:
        for piece in pieces:
            connection.receive_data(piece)
            while (event := connection.next_event()) is not None:
                heard.append(event)
            assert connection.held <= max(most, wire.FAILED_BYTES)
    except RemoteProtocolError as error:
        return heard, error.message
    return heard, ""


def pieces_of(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[begin:end]


def run(seed: int, frames: int) -> tuple[int, int]:
    """(messages heard, conversations that ended in an error)."""
    rng = random.Random(seed)
    messages = errors = 0
    for turn in range(frames // FRAMES_AT_ONCE):
        ear = rng.choice(list(Role))
        data = stream(rng, ear)
        if turn % 50 == 0:
            data = rng.randbytes(rng.randrange(200))
        whole = hear(opened(ear), iter([data]))
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(8)))
        assert hear(opened(ear), pieces_of(data, cuts)) == whole
        if turn % 4 == 0:
            assert hear(opened(ear), pieces_of(data, list(range(1, len(data))))) == whole
        for event in whole[0]:
            assert decoded(wire.encode(event)) == event
        messages += len(whole[0])
        errors += bool(whole[1])
    return messages, errors


def decoded(frame: bytes) -> m.Message:
    kind, _, _, length = wire.HEADER.unpack_from(frame)
    return next(f for f in wire.FORMS if f.kind == kind).decode(frame, wire.HEADER_BYTES, length)


def test_any_bytes_any_cuts() -> None:
    messages, errors = run(1, ORDINARY)
    assert messages > ORDINARY // 2  # the fuzz must get past the first frame,
    assert errors > ORDINARY // FRAMES_AT_ONCE // 4  # and must meet refusals


@pytest.mark.long
def test_any_bytes_any_cuts_a_million_times() -> None:
    for seed in range(2, 12):
        run(seed, FULL // 10)


def test_it_bites() -> None:
    """The control: a connection that forgets a byte is found out."""

    class Forgetful(Connection):
        def receive_data(self, data: wire.Buffer, fds: object = ()) -> None:
            super().receive_data(data[1:] if len(data) == 17 else data)

    data = wire.encode(m.Infer(1, 2, 3)) * 2
    connection = opened(Role.DAEMON)
    whole = hear(connection, iter([data]))
    forgetful = Forgetful(Role.DAEMON)
    forgetful.state, forgetful._heard = State.OPEN, connection._heard
    assert hear(forgetful, pieces_of(data, [17])) != whole
