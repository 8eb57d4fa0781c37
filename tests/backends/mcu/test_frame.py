"""Frames: what is stuffed comes back, however the bytes are split; damage is noticed; the C half agrees."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from edged_backends.mcu import messages
from edged_backends.mcu.frame import Frames, frame, stuff, unstuff
from edged_backends.mcu.messages import HEADER, NEWEST, REPLY, Kind
from support import host_board

CONTENTS = [
    b"",
    b"\0",
    b"\0\0",
    b"a",
    bytes(300),
    bytes(range(1, 255)),
    bytes(range(256)) * 4,
    b"x" * 254,
    b"x" * 255,
]


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_there_and_back(content: bytes) -> None:
    packed = stuff(content)
    assert 0 not in packed
    assert len(packed) <= len(content) + len(content) // 254 + 1
    assert unstuff(packed) == content
    assert Frames(4096).receive(frame(content)) == [content]


def test_golden_frames() -> None:
    """Worked by hand after Cheshire and Baker; the CRC of "123456789" is the well-known 0xCBF43926."""
    assert stuff(b"\0") == b"\1\1"
    assert stuff(b"\x11\x22\0\x33") == b"\3\x11\x22\2\x33"
    assert stuff(b"\x11\0\0\0") == b"\2\x11\1\1\1"
    assert frame(b"123456789") == b"\x0e123456789\x26\x39\xf4\xcb\0"


def test_byte_by_byte_and_after_garbage() -> None:
    frames = Frames(4096)
    line = b"garbage\0" + frame(b"one") + b"\0\0" + frame(b"two\0")
    found = [content for byte in line for content in frames.receive(bytes([byte]))]
    assert found == [b"one", b"two\0"]
    assert frames.damaged == 1


def test_every_flipped_bit_is_noticed() -> None:
    line = frame(bytes(range(40)))
    for bit in range(8 * len(line)):
        bad = bytearray(line)
        bad[bit // 8] ^= 1 << bit % 8
        assert bytes(range(40)) not in Frames(4096).receive(bytes(bad) + b"\0")


def test_what_is_too_long_is_dropped_and_no_memory_kept() -> None:
    frames = Frames(100)
    for _ in range(50):
        assert frames.receive(b"x" * 1000) == []
    assert frames.receive(b"\0" + frame(b"next")) == [b"next"]
    assert frames.damaged == 1


@pytest.mark.parametrize("seed", range(3))
def test_any_bytes_give_no_error(seed: int) -> None:
    """The invariant: nothing that a peer sends raises, and only contents with the right CRC come out."""
    roll, frames = random.Random(seed), Frames(256)
    for _ in range(3000):
        piece = roll.choice(
            [roll.randbytes(roll.randrange(40)), frame(roll.randbytes(9))[: roll.randrange(15)]]
        )
        for content in frames.receive(piece + b"\0" * roll.randrange(2)):
            assert len(content) <= 256


def request(kind: int, seq: int, body: bytes = b"", boot: int = 0, version: int = NEWEST) -> bytes:
    return frame(HEADER.pack(version, kind, seq, boot) + body)


def said(data: bytes) -> list[tuple[int, int, bytes]]:
    """(kind, sequence number, body) of the firmware's answers after its HELLO."""
    out, status, report = host_board.answers(data)
    assert status == 0, report
    contents = Frames(4096).receive(out)
    return [(*HEADER.unpack_from(c)[1:3], c[HEADER.size :]) for c in contents][1:]


def test_the_c_half_reads_what_python_writes() -> None:
    data = random.Random(1).randbytes(700)
    writes = [
        request(Kind.WRITE, 1, messages.WRITE.pack(messages.SLOT_AREA, 0) + data),
        request(Kind.WRITE, 2, messages.WRITE.pack(messages.SLOT_AREA, 4000) + data),
        request(Kind.WRITE, 3, messages.WRITE.pack(messages.SLOT_AREA, 0xFFFFFFFF) + data),
        request(Kind.IDENTIFY, 4, boot=7),
        request(Kind.IDENTIFY, 5, boot=8),
        request(Kind.IDENTIFY, 6, version=9),
        request(77, 7),
        request(Kind.RUN, 8, messages.RUN.pack(0, bytes(4))),
        request(Kind.SEAL, 9, messages.SEAL.pack(700, bytes(32))),
    ]
    answers = said(b"".join(writes))
    kinds = [(kind, seq, body[0] if kind == messages.ERROR else None) for kind, seq, body in answers]
    refused = messages.Refusal
    assert kinds == [
        (Kind.WRITE | REPLY, 1, None),
        (messages.ERROR, 2, refused.RANGE),
        (messages.ERROR, 3, refused.RANGE),
        (Kind.IDENTIFY | REPLY, 4, None),
        (messages.ERROR, 5, refused.BOOT),
        (Kind.IDENTIFY | REPLY, 6, None),
        (messages.ERROR, 7, refused.KIND),
        (messages.ERROR, 8, refused.PROGRAM),
        (messages.ERROR, 9, refused.DIGEST),
    ]
    assert messages.identity(answers[3][2]).board == "host"


def test_what_was_just_done_is_not_done_again() -> None:
    """A SEAL or an ERASE that comes again was only slow; done again each time, it would keep the host waiting."""
    data = bytes(700)
    right, wrong = (messages.SEAL.pack(700, digest) for digest in (sha256(data).digest(), bytes(32)))
    answers = said(
        request(Kind.WRITE, 1, messages.WRITE.pack(messages.SLOT_AREA, 0) + data)
        + request(Kind.SEAL, 2, wrong)
        + request(Kind.SEAL, 2, right)
        + request(Kind.SEAL, 3, right)
        + request(Kind.ERASE, 3)
        + request(Kind.SEAL, 3, wrong)
    )
    refused = messages.Refusal
    assert [body[0] if kind == messages.ERROR else None for kind, _, body in answers] == [
        None, refused.DIGEST, refused.DIGEST, refused.PROGRAM, None, refused.DIGEST,
    ]  # fmt: skip
