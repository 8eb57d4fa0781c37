"""Messages <-> frames. Pure: bytes in, bytes out; who may say what when is `edged_ipc.connection`'s part.

A frame is an 8-byte header and a body, all little-endian:

    u8 kind | u8 flags, 0 | u16 0xED6E | u32 bytes of body

The body is a fixed struct, a fixed struct and a payload (a tensor's bytes, or msgpack), or msgpack alone (an
array of the message's fields). Kinds below 32 are control, the others the hot path.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from edged_ipc import messages as m
from edged_ipc.errors import LocalProtocolError, RemoteProtocolError
from edged_ipc.messages import Message

MAGIC = 0xED6E
HEADER = struct.Struct("<BBHI")
HEADER_BYTES = HEADER.size
REPLY_BYTES = 64 << 20
"""The largest control frame that a client takes from its daemon (a plan of a big model)."""
FAILED_BYTES = 1 << 18

Buffer = bytes | bytearray | memoryview
_PACK = msgspec.msgpack.Encoder().encode

# request, deadline_us, session, slot, priority, and zeros up to 32 bytes
_INFER = struct.Struct("<QQIIBBHI")
# request, queue_us, run_us, version, zero
_DONE = struct.Struct("<QIIII")
_FAILED = struct.Struct("<QHHI")

# Whole frames of the hot path, packed in one call.
_INFER_FRAME = struct.Struct("<BBHI" + _INFER.format[1:])
_DONE_FRAME = struct.Struct("<BBHI" + _DONE.format[1:])


@dataclass(frozen=True, slots=True)
class Form:
    """How one message looks: its kind, the least and the most bytes of its body, both ways of the bytes.

    `limit` names which of a receiver's limits bounds the body where `most` is None. `decode` takes (buffer,
    offset, length).
    """

    kind: int
    type: type[Message]
    encode: Callable[[Any], bytes]
    decode: Callable[[Buffer, int, int], Message]
    least: int = 1
    most: int | None = None
    limit: str = "control"


def _frame(kind: int, body: bytes) -> bytes:
    if len(body) >> 32:
        raise LocalProtocolError(f"a body of {len(body)} bytes does not fit a frame")
    return HEADER.pack(kind, 0, MAGIC, len(body)) + body


def _packed(kind: int, cls: type[Message], most: int | None = None) -> Form:
    """Msgpack alone. What the other end would not take is not sent: it would end the connection."""
    decoder = msgspec.msgpack.Decoder(cls)

    def encode(message: Message) -> bytes:
        body = _PACK(message)
        try:
            decoder.decode(body)
        except msgspec.DecodeError as error:
            raise LocalProtocolError(f"{cls.__name__} cannot be sent: {error}") from None
        if most is not None and len(body) > most:
            raise LocalProtocolError(f"{cls.__name__} cannot be sent: it takes {len(body)} of {most} bytes")
        return _frame(kind, body)

    def decode(buffer: Buffer, at: int, length: int) -> Message:
        with memoryview(buffer) as view, view[at : at + length] as part:
            try:
                return decoder.decode(part)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                raise RemoteProtocolError(f"{cls.__name__}: {error}") from None

    return Form(kind, cls, encode, decode, 1, most)


def _zero(cls: type[Message], spare: int | bool) -> None:
    if spare:
        raise RemoteProtocolError(f"{cls.__name__}: spare bytes are not zero")


def _encode_infer(x: m.Infer) -> bytes:
    return _INFER_FRAME.pack(
        32, 0, MAGIC, 32, x.request, x.deadline_us, x.session, x.slot, x.priority, 0, 0, 0
    )


def _decode_infer(buffer: Buffer, at: int, _length: int) -> Message:
    request, deadline, session, slot, priority, a, b, c = _INFER.unpack_from(buffer, at)
    if a or b or c:
        _zero(m.Infer, 1)
    return m.Infer(request, session, slot, deadline, priority)


def _encode_done(x: m.Done) -> bytes:
    return _DONE_FRAME.pack(33, 0, MAGIC, 24, x.request, x.queue_us, x.run_us, x.version, 0)


def _decode_done(buffer: Buffer, at: int, _length: int) -> Message:
    request, queue, run, version, spare = _DONE.unpack_from(buffer, at)
    if spare:
        _zero(m.Done, spare)
    return m.Done(request, queue, run, version)


def _encode_failed(x: m.Failed) -> bytes:
    try:
        details = _PACK((x.message, x.remedy))
    except UnicodeEncodeError:  # a file's name that is no UTF-8, say: a request must be answered all the same
        details = _PACK([text.encode("utf-8", "replace").decode() for text in (x.message, x.remedy)])
    return _frame(34, _FAILED.pack(x.request, x.code, 0, 0) + details)


_DETAILS = msgspec.msgpack.Decoder(tuple[m.Text, m.Text])


def _decode_failed(buffer: Buffer, at: int, length: int) -> Message:
    request, code, a, b = _FAILED.unpack_from(buffer, at)
    _zero(m.Failed, a | b)
    try:
        message, remedy = _DETAILS.decode(_part(buffer, at + _FAILED.size, at + length))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"Failed: {error}") from None
    return m.Failed(request, code, message, remedy)


def _fixed(kind: int, cls: type[Message], layout: str, fields: tuple[str, ...]) -> Form:
    """A fixed struct of these fields; what the layout has beyond them is zeros."""
    body = struct.Struct("<" + layout)
    count, get = len(fields), attrgetter("request", *fields)
    zeros = (0,) * (len(layout) - count - 1)

    def encode(message: Message) -> bytes:
        values = get(message)
        return _frame(kind, body.pack(*(values if fields else (values,)), *zeros))

    def decode(buffer: Buffer, at: int, _length: int) -> Message:
        values = body.unpack_from(buffer, at)
        _zero(cls, any(values[count + 1 :]))
        return cls(*values[: count + 1])

    return Form(kind, cls, encode, decode, body.size, body.size)


def _encode_infer_inline(x: m.InferInline) -> bytes:
    size = _INFER.size + len(x.payload)
    head = _INFER_FRAME.pack(
        36, 0, MAGIC, size, x.request, x.deadline_us, x.session, x.slot, x.priority, 0, 0, 0
    )
    return b"".join((head, x.payload))


def _decode_infer_inline(buffer: Buffer, at: int, length: int) -> Message:
    request, deadline, session, slot, priority, a, b, c = _INFER.unpack_from(buffer, at)
    _zero(m.InferInline, a | b | c)
    payload = _part(buffer, at + _INFER.size, at + length)
    return m.InferInline(request, session, slot, payload, deadline, priority)


def _encode_done_inline(x: m.DoneInline) -> bytes:
    size = _DONE.size + len(x.payload)
    head = _DONE_FRAME.pack(37, 0, MAGIC, size, x.request, x.queue_us, x.run_us, x.version, 0)
    return b"".join((head, x.payload))


def _decode_done_inline(buffer: Buffer, at: int, length: int) -> Message:
    request, queue, run, version, spare = _DONE.unpack_from(buffer, at)
    _zero(m.DoneInline, spare)
    return m.DoneInline(request, queue, run, version, _part(buffer, at + _DONE.size, at + length))


def _part(buffer: Buffer, begin: int, end: int) -> bytes:
    """A copy of a part, made once."""
    with memoryview(buffer) as view, view[begin:end] as part:
        return bytes(part)


FORMS: tuple[Form, ...] = (
    _packed(1, m.Hello, 1 << 12),
    _packed(2, m.Welcome, 1 << 16),
    _packed(3, m.Goodbye, FAILED_BYTES),
    _packed(4, m.Open, 1 << 12),
    _packed(5, m.Opened),
    _fixed(6, m.Attach, "QIIQ", ("session", "slots", "nbytes")),
    _fixed(7, m.Close, "QII", ("session",)),
    _fixed(8, m.Reset, "QII", ("session",)),
    _fixed(9, m.Ack, "Q", ()),
    _packed(10, m.Control),
    _packed(11, m.Reply),
    _packed(12, m.Event),
    Form(32, m.Infer, _encode_infer, _decode_infer, 32, 32),
    Form(33, m.Done, _encode_done, _decode_done, 24, 24),
    Form(34, m.Failed, _encode_failed, _decode_failed, 16, FAILED_BYTES),
    _fixed(35, m.Cancel, "QII", ("session", "slot")),
    Form(36, m.InferInline, _encode_infer_inline, _decode_infer_inline, 32, None, "inline"),
    Form(37, m.DoneInline, _encode_done_inline, _decode_done_inline, 24, None, "inline"),
)
BY_TYPE: dict[type[Message], Form] = {form.type: form for form in FORMS}


def encode(message: Message) -> bytes:
    """The frame of a message. LocalProtocolError when a field does not fit its place."""
    try:
        return BY_TYPE[type(message)].encode(message)
    except (struct.error, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{type(message).__name__} cannot be sent: {error}") from None
