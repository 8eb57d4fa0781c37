"""Every message of the protocol, as a frozen class. How each looks in bytes is `edged_ipc.wire`'s part.

Request ids are chosen by the client, are never 0, and come back in the answer. Times are whole microseconds;
sessions and slots are counted from 0 by the daemon.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

ANY_PRIORITY = 255
"""Infer.priority: the one that the session was opened with. Otherwise 0 (first) ... 31 (last)."""
LAST_PRIORITY = 31
PROTOCOL = 1
"""The version of the protocol that this package speaks. Hello names a range, Welcome the chosen one."""

U32 = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=1 << 16)]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Root of all messages."""


class TensorSpec(msgspec.Struct, frozen=True, array_like=True):
    """One input or output: where it lies in a slot, and what its bytes mean.

    `dtype` is NumPy's name where there is one. Quantised: real = scale * (stored - zero_point), one pair per
    tensor or per index of `axis`.
    """

    name: Annotated[str, msgspec.Meta(max_length=1 << 12)]
    dtype: Name
    shape: tuple[Count, ...]
    nbytes: Count
    offset: Count = 0
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0


class Limits(msgspec.Struct, frozen=True, array_like=True):
    """What a peer may do at most. Per user id: `connections`, `sessions`, `memory_bytes` of slots,
    `in_flight` requests. Per session: `slots`. Per frame that it sends: `control_bytes`, `inline_bytes`;
    0 inline_bytes turns that off."""

    connections: Count = 64
    sessions: Count = 64
    slots: Count = 256
    memory_bytes: Count = 256 << 20
    in_flight: Count = 64
    control_bytes: Count = 1 << 20
    inline_bytes: Count = 64 << 20


class Hello(Message, frozen=True):
    """Client's first: the range of protocol versions it speaks, and its name for the log."""

    oldest: U32
    newest: U32
    client: Text


class Welcome(Message, frozen=True):
    """Daemon's first: the chosen version, who it is, a random mark of this start of it, and the peer's
    limits."""

    version: U32
    server: Text
    boot: Text
    limits: Limits


class Goodbye(Message, frozen=True):
    """Daemon's last: why the connection ends. What has no answer yet was not run, unless code says
    UNKNOWN_OUTCOME or BAD_FRAME."""

    code: U32
    message: Text
    remedy: Text = ""


class Open(Message, frozen=True):
    """Opens a session on a model. `slots` of inputs and outputs are wanted at once; with `inline` the daemon
    keeps them, otherwise Attach brings them. `priority` holds for requests that name none."""

    request: int
    model: Name
    slots: U32 = 1
    inline: bool = False
    priority: U32 = ANY_PRIORITY


class Opened(Message, frozen=True):
    """The session, the model's version, its tensors, and the bytes from one slot to the next."""

    request: int
    session: U32
    version: U32
    slot_bytes: Count
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stateful: bool = False


class Attach(Message, frozen=True):
    """Further slots for a session, in a sealed memfd that comes with this frame; numbered on from those it
    has.

    `fd` is not in the bytes: it travels beside them (SCM_RIGHTS). None: it did not arrive.
    """

    request: int
    session: int
    slots: int
    nbytes: int
    fd: int | None = None


class Close(Message, frozen=True):
    """Ends a session; what it has in flight is cancelled."""

    request: int
    session: int


class Reset(Message, frozen=True):
    """Puts the variables of a session's streaming model back to their initial values."""

    request: int
    session: int


class Ack(Message, frozen=True):
    """Attach, Close or Reset was done."""

    request: int


class Control(Message, frozen=True):
    """Anything else that the daemon can do, by name: load, unload, swap, status, plan ..."""

    request: int
    name: Name
    body: Any = None


class Reply(Message, frozen=True):
    """The answer to Control."""

    request: int
    body: Any = None


class Event(Message, frozen=True):
    """News on the way to the answer of `request` (progress, log lines); request 0: for everybody."""

    request: int
    name: Name
    body: Any = None


class Infer(Message, frozen=True):
    """Runs the model on a slot. `deadline_us` from now, 0 for none."""

    request: int
    session: int
    slot: int
    deadline_us: int = 0
    priority: int = ANY_PRIORITY


class Done(Message, frozen=True):
    """The slot's outputs are there: microseconds waited and run, and the model version that made them."""

    request: int
    queue_us: int
    run_us: int
    version: int


class Failed(Message, frozen=True):
    """The answer to any request that was not done."""

    request: int
    code: int
    message: Text
    remedy: Text = ""


class Cancel(Message, frozen=True):
    """The client does not want an Infer's result any more. It is answered all the same, by Failed or Done."""

    request: int
    session: int
    slot: int


class InferInline(Message, frozen=True):
    """Infer whose inputs come along: the inputs' part of a slot, as laid out there."""

    request: int
    session: int
    slot: int
    payload: bytes | memoryview
    deadline_us: int = 0
    priority: int = ANY_PRIORITY


class DoneInline(Message, frozen=True):
    """Done with the outputs' part of the slot."""

    request: int
    queue_us: int
    run_us: int
    version: int
    payload: bytes | memoryview


Request = Open | Attach | Close | Reset | Control | Infer | InferInline

FROM_CLIENT: frozenset[type[Message]] = frozenset(
    {Hello, Open, Attach, Close, Reset, Control, Infer, InferInline, Cancel}
)
ANSWERS: dict[type[Message], frozenset[type[Message]]] = {
    Open: frozenset({Opened, Failed}),
    Attach: frozenset({Ack, Failed}),
    Close: frozenset({Ack, Failed}),
    Reset: frozenset({Ack, Failed}),
    Control: frozenset({Reply, Failed}),
    Infer: frozenset({Done, Failed}),
    InferInline: frozenset({DoneInline, Failed}),
}
"""What may answer a request. Every request gets exactly one of these; Hello, Cancel, Event and Goodbye stand
outside."""
