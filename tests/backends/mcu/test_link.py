"""The link opposite a simulated board, on a wire that drops, flips, doubles and splits. No clock but `now`."""

from __future__ import annotations

import random

import pytest

from edged_backends.mcu.frame import Frames, frame
from edged_backends.mcu.link import Booted, Link, Lost, Refused, Replied
from edged_backends.mcu.messages import ERROR, HEADER, HELLO, NEWEST, REPLY, Kind
from edged_backends.mcu.rig.proxy import Faults


class Echo:
    """A board that answers every request with its body."""

    def __init__(self) -> None:
        self.frames = Frames(4096)
        self.seen: list[int] = []

    def answers(self, data: bytes) -> bytes:
        out = b""
        for content in self.frames.receive(data):
            _, kind, seq, boot = HEADER.unpack_from(content)
            self.seen.append(seq)
            out += frame(HEADER.pack(NEWEST, kind | REPLY, seq, boot) + content[HEADER.size :])
        return out


def reply(kind: int, seq: int, body: bytes = b"", boot: int = 1) -> bytes:
    return frame(HEADER.pack(NEWEST, kind, seq, boot) + body)


@pytest.mark.parametrize(
    "count", [3000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_a_bad_wire(count: int) -> None:
    """The invariant: every request ends, in its own answer or as Lost, and never in another's answer."""
    roll = random.Random(count)
    link, board, faults = Link(window=4), Echo(), Faults(drop=0.003, flip=0.003, double=0.001)
    bodies: dict[int, bytes] = {}
    now, ended, lost = 0.0, 0, 0
    while ended < count:
        if ended + len(bodies) < count and len(bodies) < 8:
            body = roll.randbytes(roll.randrange(60))
            bodies[link.send(Kind.WRITE, body, now, tries=6)] = body
        arrived = faults.apply(board.answers(faults.apply(link.data_to_send(), roll)), roll)
        cut = roll.randrange(len(arrived) + 1)
        link.receive_data(arrived[:cut], now)
        link.receive_data(arrived[cut:], now)
        now += 0.01
        link.handle_timer(now)
        for event in link.events():
            if isinstance(event, Replied):
                assert event.body == bodies.pop(event.seq)
            else:
                assert isinstance(event, Lost)
                del bodies[event.seq]
                lost += 1
            ended += 1
    assert link.counts.resent > count / 100
    assert lost < count / 20
    assert link.idle == (not bodies)


def test_no_more_than_a_window_is_under_way() -> None:
    link, board = Link(window=3), Echo()
    for _ in range(10):
        link.send(Kind.READ, b"x", 0.0)
    first = link.data_to_send()
    answers = board.answers(first)
    assert board.seen == [1, 2, 3]
    link.receive_data(answers, 0.1)
    board.answers(link.data_to_send())
    assert board.seen == [1, 2, 3, 4, 5, 6]


def test_a_stale_answer_is_counted_and_dropped() -> None:
    link = Link()
    old = link.send(Kind.RUN, b"", 0.0)
    link.forget()
    new = link.send(Kind.RUN, b"", 1.0)
    link.receive_data(reply(Kind.RUN | REPLY, old, b"old") + reply(Kind.RUN | REPLY, new, b"new"), 1.1)
    assert link.events() == [Replied(new, b"new", 1)]
    assert link.counts.stale == 1


def test_an_answer_of_another_kind_is_stale() -> None:
    link = Link()
    seq = link.send(Kind.RUN, b"", 0.0)
    link.receive_data(reply(Kind.READ | REPLY, seq), 0.1)
    assert link.events() == []
    assert link.counts.stale == 1


def test_what_is_overtaken_is_sent_again_at_once() -> None:
    link = Link(window=2)
    link.send(Kind.READ, b"a", 0.0)
    second = link.send(Kind.READ, b"b", 0.0)
    link.data_to_send()
    link.receive_data(reply(Kind.READ | REPLY, second), 0.001)
    link.handle_timer(0.001)
    assert Frames(100).receive(link.data_to_send()) == [HEADER.pack(NEWEST, Kind.READ, 1, 0) + b"a"]


def test_it_is_lost_after_its_tries_and_the_timer_says_when() -> None:
    link, sent = Link(), 0
    seq = link.send(Kind.READ, b"", 0.0, tries=3)
    while link.timer is not None:
        sent += len(Frames(100).receive(link.data_to_send()))
        link.handle_timer(link.timer)
    assert link.events() == [Lost(seq)]
    assert sent == 3
    assert link.idle


def test_refusals_and_hello() -> None:
    link = Link()
    seq = link.send(Kind.SEAL, b"", 0.0)
    link.receive_data(reply(ERROR, seq, b"\5") + reply(HELLO, 0, b"me", 9), 0.1)
    assert link.events() == [Refused(seq, b"\5"), Booted(b"me", 9)]


def test_sequence_numbers_wrap() -> None:
    link, board = Link(seq=0xFFFE), Echo()
    for _ in range(4):
        link.send(Kind.READ, b"", 0.0)
    link.receive_data(board.answers(link.data_to_send()), 0.1)
    assert board.seen == [0xFFFF, 0, 1, 2]
    assert len(link.events()) == 4


def test_a_reply_from_another_life_is_stale() -> None:
    """What a terminal still held when this process opened it may have any sequence number."""
    link = Link(seq=6)
    link.boot = 9
    seq = link.send(Kind.READ, b"", 0.0)
    link.receive_data(reply(Kind.READ | REPLY, seq, b"old", boot=8), 0.1)
    assert link.events() == []
    assert link.counts.stale == 1
    link.receive_data(reply(Kind.READ | REPLY, seq, b"new", boot=9), 0.2)
    assert link.events() == [Replied(seq, b"new", 9)]
    other = link.send(Kind.READ, b"", 0.3)
    link.receive_data(reply(ERROR, other, b"\3", boot=10), 0.4)
    assert link.events() == [Refused(other, b"\3")]
