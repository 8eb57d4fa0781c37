"""Invariant: what the peer sends, cut anywhere, comes out as the same messages, then one RemoteProtocolError.

One conversation, seen from either end, without I/O: bytes of the peer go in by `receive_data`, messages come
out of `next_event`, and `send` turns a message of ours into bytes. It knows who may say what when
(TRANSITIONS), that every request gets exactly one answer (ANSWERS), and how large a frame may be. It neither
reads a socket nor knows what a session is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from edged_ipc import messages as m
from edged_ipc.errors import LocalProtocolError, RemoteProtocolError
from edged_ipc.inbox import Inbox
from edged_ipc.messages import ANSWERS, Message
from edged_ipc.rules import HEARD, SAID, Role, Rule, State
from edged_ipc.wire import BY_TYPE, HEADER, HEADER_BYTES, MAGIC, REPLY_BYTES, Buffer, encode

PARKED_FDS = 2
"""File descriptors that may wait for their Attach frame; each travels with its own, so more is a flood."""


_Error = type[LocalProtocolError | RemoteProtocolError]
_KINDS = {form.kind: form.type.__name__ for form in BY_TYPE.values()}


class Connection:
    """One end. `control_bytes` and `inline_bytes` bound the frames taken from the peer.

    `send` may be called from several threads at once for answers to different requests; everything else
    belongs to one thread.
    """

    def __init__(
        self, role: Role, *, control_bytes: int = REPLY_BYTES, inline_bytes: int = REPLY_BYTES
    ) -> None:
        self.role = role
        self.state = State.START
        self.limits = {"control": control_bytes, "inline": inline_bytes}
        self.outstanding: dict[int, type[Message]] = {}
        self._inbox = Inbox()
        self._fds: deque[int | None] = deque()
        self._said = SAID[role][State.START]
        self._heard = HEARD[role][State.START]
        self._broken: RemoteProtocolError | None = None

    @property
    def wanted(self) -> int:
        """Bytes missing of a frame that has begun; 0 when none has."""
        inbox = self._inbox
        if len(inbox) < HEADER_BYTES:
            return 0
        length: int = HEADER.unpack_from(inbox.data, inbox.begin)[3]
        return max(HEADER_BYTES + length - len(inbox), 0)

    @property
    def held(self) -> int:
        """Bytes that wait to be understood."""
        return len(self._inbox)

    def room(self, least: int) -> memoryview:
        """Where to read bytes of the peer to: `least` bytes, or what is `wanted`. `arrived` follows."""
        inbox = self._inbox
        return inbox.room(least if inbox.begin == inbox.end else max(least, self.wanted))

    def arrived(self, count: int, fds: Sequence[int | None] = ()) -> None:
        """`count` bytes were read to `room`, and these file descriptors came with them; None for one that
        was lost on the way."""
        if self.state is not State.CLOSED:
            self._inbox.end += count
        if fds:
            self._fds.extend(fds)

    def receive_data(self, data: Buffer, fds: Sequence[int | None] = ()) -> None:
        """`room` and `arrived` in one, for bytes that have been read elsewhere."""
        self._inbox.room(len(data))[:] = data
        self.arrived(len(data), fds)

    def next_event(self) -> Message | None:
        """The next whole message of the peer; None until more bytes come. RemoteProtocolError when it broke
        the protocol: then, and ever after."""
        inbox = self._inbox
        buffer, at = inbox.data, inbox.begin
        have = inbox.end - at
        if have < HEADER_BYTES or self._broken is not None:
            self._nothing()
            return None
        kind, flags, magic, length = HEADER.unpack_from(buffer, at)
        rule = self._heard.get(kind)
        if rule is None or flags or magic != MAGIC:
            raise self._break(self._misfit(kind, flags, magic))
        form = rule.form
        most = form.most
        if length < form.least or length > (self.limits[form.limit] if most is None else most):
            raise self._break(f"a {form.type.__name__} frame of {length} bytes")
        if have < HEADER_BYTES + length:
            self._nothing()
            return None
        at += HEADER_BYTES
        inbox.begin = at + length
        try:
            message = form.decode(buffer, at, length)
            return self._hear(rule, message)
        except RemoteProtocolError as error:
            raise self._break(error.message) from None

    def send(self, message: Message) -> bytes:
        """The bytes of a message of ours. LocalProtocolError when it may not be said now."""
        kind = type(message)
        rule = self._said.get(kind)
        if rule is None:
            raise LocalProtocolError(
                f"{kind.__name__} may not be sent by the {self.role.value} in state {self.state.value}"
            )
        data = encode(message)
        self._follow(rule, kind, message, LocalProtocolError)
        return data

    def parked_fds(self) -> list[int]:
        """File descriptors that no frame has claimed, given up: whoever holds the socket closes them."""
        fds = [fd for fd in self._fds if fd is not None]
        self._fds.clear()
        return fds

    def _hear(self, rule: Rule, message: Message) -> Message:
        """The rules of the conversation, for a message of the peer."""
        kind = rule.form.type
        self._follow(rule, kind, message, RemoteProtocolError)
        return message if kind is not m.Attach else self._claim(message)

    def _follow(self, rule: Rule, kind: type[Message], message: Any, error: _Error) -> None:
        """What a message does to the conversation; `error` when it may not."""
        if rule.asks:
            self._ask(kind, message.request, error)
        elif rule.answers:
            self._answer(kind, message.request, error)
        elif kind is m.Event:
            self._announce(message.request, error)
        if rule.moves:
            self._enter(rule.after)

    def _ask(self, kind: type[Message], request: int, error: _Error) -> None:
        if request <= 0 or request in self.outstanding:
            raise error(
                f"{kind.__name__}: request id {request} is {'in use' if request > 0 else 'not allowed'}"
            )
        self.outstanding[request] = kind

    def _answer(self, kind: type[Message], request: int, error: _Error) -> None:
        asked = self.outstanding.pop(request, None)
        if asked is None or kind not in ANSWERS[asked]:
            what = f"which is {asked.__name__}" if asked else "which is not open"
            raise error(f"{kind.__name__} for request {request}, {what}")

    def _announce(self, request: int, error: _Error) -> None:
        if request and request not in self.outstanding:
            raise error(f"Event for request {request}, which is not open")

    def _claim(self, message: Message) -> Message:
        """An Attach with the file descriptor that came with it."""
        assert isinstance(message, m.Attach)
        fd = self._fds.popleft() if self._fds else None
        return m.Attach(message.request, message.session, message.slots, message.nbytes, fd)

    def _enter(self, state: State) -> None:
        self.state = state
        self._said = SAID[self.role][state]
        self._heard = HEARD[self.role][state]
        if state is State.CLOSED:
            self._inbox.clear()

    def _nothing(self) -> None:
        """There is no whole frame: because the peer broke the protocol, or more bytes are to come."""
        if self._broken is not None:
            raise self._broken
        if len(self._fds) > PARKED_FDS:
            raise self._break(f"{len(self._fds)} file descriptors that no Attach speaks of")

    def _break(self, text: str) -> RemoteProtocolError:
        self._broken = RemoteProtocolError(
            f"the {'client' if self.role is Role.DAEMON else 'daemon'} sent {text}"
        )
        return self._broken

    def _misfit(self, kind: int, flags: int, magic: int) -> str:
        if magic != MAGIC:
            return f"bytes that are no frame (mark {magic:#06x}, expected {MAGIC:#06x})"
        if flags:
            return f"unknown flags {flags:#04x}"
        if kind not in _KINDS:
            return f"a frame of unknown kind {kind}"
        return f"{_KINDS[kind]}, which it may not send in state {self.state.value}"
