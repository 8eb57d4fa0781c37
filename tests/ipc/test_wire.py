"""Every message has one form; the bytes of the hot path are written down here, for the C side to read too."""

from __future__ import annotations

import pytest

from edged_ipc import messages as m
from edged_ipc import wire
from edged_ipc.errors import LocalProtocolError, RemoteProtocolError

SPEC = m.TensorSpec("x", "int8", (1, 4), 4, 64, (0.5,), (-3,), 0)
SAMPLES: list[m.Message] = [
    m.Hello(1, 2, "test[1]"),
    m.Welcome(1, "edged 1", "ab", m.Limits(sessions=3)),
    m.Goodbye(108, "stopping", "again"),
    m.Open(1, "kws", 4, True, 3),
    m.Opened(2, 3, 4, 128, (SPEC,), (SPEC, SPEC), True),
    m.Attach(3, 4, 5, 6400),
    m.Close(4, 5),
    m.Reset(5, 6),
    m.Ack(6),
    m.Control(7, "load", {"path": "/x", "n": [1, 2.5, None, b"raw"]}),
    m.Reply(8, {"ok": True}),
    m.Event(9, "progress", 0.5),
    m.Infer(10, 11, 12, 13, 14),
    m.Done(11, 12, 13, 14),
    m.Failed(12, 101, "full", "wait"),
    m.Cancel(13, 14, 15),
    m.InferInline(14, 15, 16, b"payload", 17, 18),
    m.DoneInline(15, 16, 17, 18, b"out"),
]
GOLDEN = {
    m.Infer(0x1122334455667788, 0xAABBCCDD, 7, 1_000_000, 31): (
        "20006eed20000000" "8877665544332211" "40420f0000000000" "ddccbbaa" "07000000" "1f" "00" "0000" "00000000"
    ),
    m.Done(5, 6, 7, 8): "21006eed18000000" "0500000000000000" "06000000" "07000000" "08000000" "00000000",
    m.Failed(9, 101, "full", "wait"): (
        "22006eed1b000000" "0900000000000000" "6500" "0000" "00000000" "92a466756c6ca477616974"
    ),
    m.Cancel(1, 2, 3): "23006eed10000000" "0100000000000000" "02000000" "03000000",
    m.Attach(1, 2, 3, 192): "06006eed18000000" "0100000000000000" "02000000" "03000000" "c000000000000000",
    m.Ack(1): "09006eed08000000" "0100000000000000",
    m.Close(1, 2): "07006eed10000000" "0100000000000000" "02000000" "00000000",
}  # fmt: skip


def decode(frame: bytes) -> m.Message:
    kind, _, _, length = wire.HEADER.unpack_from(frame)
    form = next(f for f in wire.FORMS if f.kind == kind)
    assert length == len(frame) - wire.HEADER_BYTES
    return form.decode(frame, wire.HEADER_BYTES, length)


@pytest.mark.parametrize("message", SAMPLES, ids=lambda x: type(x).__name__)
def test_there_and_back(message: m.Message) -> None:
    assert decode(wire.encode(message)) == message


def test_samples_are_all_messages() -> None:
    assert {type(x) for x in SAMPLES} == set(wire.BY_TYPE) == set(m.Message.__subclasses__())


@pytest.mark.parametrize("message", GOLDEN, ids=lambda x: type(x).__name__)
def test_golden_bytes(message: m.Message) -> None:
    assert wire.encode(message).hex() == GOLDEN[message]
    assert decode(bytes.fromhex(GOLDEN[message])) == message


def test_kinds_are_unique() -> None:
    assert len({f.kind for f in wire.FORMS}) == len(wire.FORMS)


def test_hot_frames_are_small() -> None:
    assert len(wire.encode(m.Infer(1, 1, 1))) == 40
    assert len(wire.encode(m.Done(1, 1, 1, 1))) == 32


@pytest.mark.parametrize(
    "message",
    [
        m.Infer(-1, 0, 0), m.Infer(1, 1 << 32, 0), m.Infer(1, 0, 0, 0, 256), m.Done(1, 1 << 32, 0, 0),
        m.Control(1, "x", object()), m.Ack(1 << 64),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_our_mistake(message: m.Message) -> None:
    with pytest.raises(LocalProtocolError, match=type(message).__name__):
        wire.encode(message)


@pytest.mark.parametrize(
    "kind", [m.Infer(1, 2, 3), m.Done(1, 2, 3, 4), m.Close(1, 2), m.Failed(1, 2, "", "")]
)
def test_spare_bytes_must_be_zero(kind: m.Message) -> None:
    frame = bytearray(wire.encode(kind))
    spare = {m.Infer: 39, m.Done: 31, m.Close: 23, m.Failed: 20}[type(kind)]
    frame[spare] = 1
    with pytest.raises(RemoteProtocolError, match="not zero"):
        decode(bytes(frame))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01\x02", b"\x91" * 4000, b"\x93\x01\x02\xa2\xff\xfe"])
def test_bad_msgpack_is_the_peers_mistake(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="Hello"):
        wire.BY_TYPE[m.Hello].decode(body, 0, len(body))


def test_a_failure_is_told_whatever_is_in_its_words() -> None:
    """Lone surrogates are what Python makes of a file's name that is no UTF-8."""
    data = wire.encode(m.Failed(7, 101, "model \udcff.tflite", "rename \udcff"))
    form = wire.BY_TYPE[m.Failed]
    told = form.decode(data, wire.HEADER_BYTES, len(data) - wire.HEADER_BYTES)
    assert told == m.Failed(7, 101, "model ?.tflite", "rename ?")
