"""The link to a board: requests with sequence numbers, resent until they are answered. Pure: bytes and `now`
come in, bytes and events go out.

A reply is recognised by its sequence number and its board's life; one that nobody waits for any more (a stale
one) is counted and dropped. `window` requests are under way at once. A request that stays unanswered `tries`
times is given up as `Lost`; whoever sent it decides whether to ask again, in smaller pieces perhaps.

A request is due when the line had time for it, its answer and all that is under way, and the board for four
times what answers took of late.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from edged_backends.mcu.frame import Frames, frame
from edged_backends.mcu.messages import ANY_BOOT, ERROR, HEADER, HELLO, NEWEST, REPLY, Kind

MAX_FRAME = 4096
FIRST_WAIT, LEAST_WAIT, MOST_WAIT = 0.25, 0.03, 1.0
AROUND = HEADER.size + 8  # bytes of a reply beside its body: header, CRC, COBS, zero
WORK = frozenset({Kind.RUN, Kind.STATS, Kind.SEAL, Kind.ERASE})
"""Requests whose time is the work's, not the line's."""

UNVERSIONED = frozenset({ERROR, HELLO, Kind.IDENTIFY | REPLY})
"""What a board may say in a version of its own: how both find out which one they share."""


@dataclass(frozen=True, slots=True)
class Replied:
    """The answer to request `seq`."""

    seq: int
    body: bytes
    boot: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The board refuses request `seq`; messages.reason tells `body` in words."""

    seq: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Request `seq` was sent `tries` times and never answered."""

    seq: int


@dataclass(frozen=True, slots=True)
class Booted:
    """The board said HELLO: it was reset just now. `body` is its identity."""

    body: bytes
    boot: int


Event = Replied | Refused | Lost | Booted


@dataclass(slots=True)
class _Asked:
    seq: int
    kind: Kind
    bytes: bytes
    tries: int
    answer: int
    sent: float = 0.0
    due: float = 0.0
    times: int = 0
    order: int = 0


@dataclass(slots=True)
class Counts:
    """What happened on the line so far."""

    sent: int = 0
    resent: int = 0
    replies: int = 0
    stale: int = 0
    lost: int = 0


class Link:
    """One line. `boot` goes into every request (ANY_BOOT: the board does not care), and so does `version`,
    which both sides speak."""

    def __init__(self, window: int = 4, seq: int = 0, bytes_per_second: float = inf) -> None:
        self.window = window
        self.bytes_per_second = bytes_per_second
        self.boot = ANY_BOOT
        self.version = NEWEST
        self.counts = Counts()
        self._frames = Frames(MAX_FRAME)
        self._next = seq & 0xFFFF
        self._waiting: deque[_Asked] = deque()
        self._flying: dict[int, _Asked] = {}
        self._events: list[Event] = []
        self._out = bytearray()
        self._wait = FIRST_WAIT

    @property
    def damaged(self) -> int:
        """Frames that arrived broken."""
        return self._frames.damaged

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self._waiting or self._flying)

    @property
    def timer(self) -> float | None:
        """When handle_timer is due; None when nothing is under way."""
        return min((asked.due for asked in self._flying.values()), default=None)

    @property
    def line_seconds(self) -> float:
        """What the line takes for all that is under way, there and back."""
        return sum(len(a.bytes) + a.answer for a in self._flying.values()) / self.bytes_per_second

    def send(self, kind: Kind, body: bytes, now: float, *, tries: int = 4, answer: int = 0) -> int:
        """Asks; the sequence number by which events name it. `answer`: bytes that the reply will have."""
        self._next = (self._next + 1) & 0xFFFF
        seq = self._next
        content = HEADER.pack(self.version, kind, seq, self.boot) + body
        self._waiting.append(_Asked(seq, kind, frame(content), tries, answer + AROUND))
        self._fill(now)
        return seq

    def receive_data(self, data: bytes, now: float) -> None:
        """Bytes from the board, however they are split. Never raises for them."""
        for content in self._frames.receive(data):
            self._message(content, now)
        self._fill(now)

    def handle_timer(self, now: float) -> None:
        """Sends again what is due, or gives it up."""
        for asked in [a for a in self._flying.values() if a.due <= now]:
            if asked.times >= asked.tries:
                del self._flying[asked.seq]
                self.counts.lost += 1
                self._events.append(Lost(asked.seq))
                continue
            self.counts.resent += 1
            self._out += b"\0"  # ends what may have been cut off
            self._put(asked, now)
        self._fill(now)

    def events(self) -> list[Event]:
        """What happened since the last call."""
        found, self._events = self._events, []
        return found

    def data_to_send(self) -> bytes:
        """Bytes for the board since the last call."""
        found, self._out = bytes(self._out), bytearray()
        return found

    def forget(self) -> None:
        """Gives up all that is under way; late answers to it are stale."""
        self._waiting.clear()
        self._flying.clear()
        self._events.clear()
        self._out.clear()

    def _fill(self, now: float) -> None:
        while self._waiting and len(self._flying) < self.window:
            asked = self._waiting.popleft()
            self._flying[asked.seq] = asked
            self._put(asked, now)

    def _put(self, asked: _Asked, now: float) -> None:
        asked.times += 1
        asked.sent = now
        asked.order = self.counts.sent
        asked.due = now + self.line_seconds + min(MOST_WAIT, self._wait * asked.times * len(self._flying))
        self.counts.sent += 1
        self._out += asked.bytes

    def _overtaken(self, order: int, now: float) -> None:
        """A board answers in order: what was sent earlier and is unanswered got lost, and is due at once."""
        for other in self._flying.values():
            if other.order < order:
                other.due = now

    def _message(self, content: bytes, now: float) -> None:
        if len(content) < HEADER.size:
            return
        version, kind, seq, boot = HEADER.unpack_from(content)
        body = content[HEADER.size :]
        if version != self.version and kind not in UNVERSIONED:
            return
        if kind == HELLO:
            self._events.append(Booted(body, boot))
            return
        asked = self._flying.get(seq)
        elsewhere = kind != ERROR and ANY_BOOT not in (self.boot, boot) and boot != self.boot
        if asked is None or kind not in (asked.kind | REPLY, ERROR) or elsewhere:
            self.counts.stale += 1
            return
        del self._flying[seq]
        self.counts.replies += 1
        self._overtaken(asked.order, now)
        if asked.times == 1 and asked.kind not in WORK:  # of a resent one, which sending is answered?
            self._wait = min(MOST_WAIT, max(LEAST_WAIT, 0.8 * self._wait + 0.2 * 4 * (now - asked.sent)))
        self._events.append(Refused(seq, body) if kind == ERROR else Replied(seq, body, boot))
