"""Hostile bytes for both halves of the link: the firmware's C under ASan and UBSan, and Link in Python.

The invariants: the firmware never touches memory that is not its own, and answers every whole request; Link never
raises, and says the same however the bytes are split.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from zlib import crc32

import pytest

from edged_backends.mcu import messages
from edged_backends.mcu.frame import Frames, frame
from edged_backends.mcu.link import Link
from edged_backends.mcu.messages import ERROR, HEADER, HELLO, NEWEST, REPLY, SLOT_AREA, Kind
from support import paced_board
from support.small_models import chain

EDGES = (
    0,
    1,
    2,
    3,
    7,
    8,
    255,
    256,
    299,
    300,
    301,
    1023,
    1024,
    1025,
    4095,
    4096,
    4097,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
SLOT, INPUT = 4096, 300

Roll = random.Random


def number(roll: Roll, most: int) -> int:
    """A size or an offset: a bound, something near one, or anything."""
    near = roll.choice(EDGES) + roll.choice((-1, 0, 0, 1))
    return roll.choice((near, roll.randrange(most + 1))) & most


def write(roll: Roll, image: bytes) -> bytes:
    area = SLOT_AREA if roll.random() < 0.03 else roll.choice((0, 0, 1, number(roll, 0xFFFF)))
    size = roll.choice((0, 1, 300, roll.randrange(1200)))
    return messages.WRITE.pack(area, number(roll, 0xFFFFFFFF)) + roll.randbytes(size)


def restore(roll: Roll, image: bytes) -> bytes:
    """The beginning of a program again, so that there is one to be sealed."""
    return messages.WRITE.pack(SLOT_AREA, 0) + image


def seal(roll: Roll, image: bytes) -> bytes:
    """Mostly a program that is whole; else sizes and digests that are not, or not long enough to be one."""
    if roll.random() < 0.9:
        return messages.SEAL.pack(len(image), hashlib.sha256(image).digest())
    size = number(roll, 0xFFFFFFFF)
    return messages.SEAL.pack(size, hashlib.sha256(image[: min(size, SLOT)]).digest())[
        : roll.choice((36, 36, 35, 4))
    ]


def run(roll: Roll, image: bytes) -> bytes:
    name = roll.choice((hashlib.sha256(image).digest(),) * 4 + (bytes(4),))
    return messages.RUN.pack(roll.choice((crc32(bytes(INPUT)), roll.getrandbits(32))), name)


def zero(roll: Roll, image: bytes) -> bytes:
    return messages.WRITE.pack(0, 0) + bytes(INPUT)


def read(roll: Roll, image: bytes) -> bytes:
    if roll.random() < 0.3:
        offset = roll.randrange(INPUT + 1)
        return messages.READ.pack(0, offset, INPUT - offset + roll.choice((0, 0, 1)))
    return messages.READ.pack(
        roll.choice((0, 0, 1, number(roll, 0xFFFF))), number(roll, 0xFFFFFFFF), number(roll, 0xFFFF)
    )


def anything(roll: Roll, image: bytes) -> bytes:
    return roll.randbytes(roll.choice((0, 4, 6, 8, 36, roll.randrange(1200))))


MAKERS: list[tuple[int, Kind, Callable[[Roll, bytes], bytes]]] = [
    (4, Kind.WRITE, write), (1, Kind.WRITE, restore), (3, Kind.WRITE, zero), (2, Kind.SEAL, seal),
    (3, Kind.RUN, run), (5, Kind.READ, read), (1, Kind.IDENTIFY, anything), (2, Kind.RUN, anything),
]  # fmt: skip


def message(roll: Roll, seq: int, image: bytes) -> bytes:
    """A request that is well framed; what it asks may be anything."""
    _, kind, maker = roll.choices(MAKERS, [weight for weight, _, _ in MAKERS])[0]
    body = maker(roll, image)
    if roll.random() < 0.05:
        return frame(
            HEADER.pack(roll.choice((NEWEST, 0, 255)), roll.choice((kind, *range(7, 256))), seq, 0) + body
        )
    return frame(HEADER.pack(NEWEST, kind, seq, roll.choice((0, 0, 0, roll.getrandbits(32)))) + body)


def damaged(roll: Roll, made: bytes) -> bytes:
    """Cut, flipped, or followed by noise; mostly as it is."""
    fate = roll.random()
    if fate < 0.05:
        return made[: roll.randrange(len(made))]
    if fate < 0.1:
        at = roll.randrange(len(made))
        return made[:at] + bytes([made[at] ^ 1 << roll.randrange(8)]) + made[at + 1 :]
    return made + (roll.randbytes(roll.randrange(3000)) if fate > 0.99 else b"")


@pytest.mark.parametrize(
    "count", [4000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_no_message_harms_the_firmware(count: int) -> None:
    """Also with a program in the slot, whose tensors are then written, run and read at every bound."""
    roll, seen, frames, texts = random.Random(count), Counter[tuple[int, int]](), Frames(4096), 0
    with paced_board.PacedBoard(paced_board.build(chain(layers=2))) as machine:
        image = machine.descriptors[0] + bytes(64)
        for start in range(0, count, 200):
            batch = [damaged(roll, message(roll, seq & 0xFFFF, image)) for seq in range(start, start + 200)]
            said = machine.step(b"".join(batch))
            texts += said.count(b"m-ready")
            for content in frames.receive(said):
                seen[content[1], content[HEADER.size] if content[1] == ERROR else 0] += 1
    print(dict(seen))
    answered = {kind for kind, _ in seen}
    assert {Kind.WRITE | REPLY, Kind.SEAL | REPLY, Kind.RUN | REPLY, Kind.READ | REPLY} <= answered
    assert {reason for kind, reason in seen if kind == ERROR} == set(messages.Refusal)
    assert frames.damaged <= texts, (
        "only noise that is taken for a line of text may spoil the frame after its answer"
    )
    assert texts < count / 500
    assert sum(seen.values()) > count * 0.8


@pytest.mark.parametrize(
    "count", [1500, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_no_bytes_harm_the_firmware(count: int) -> None:
    """Without a program: garbage, cut and flipped frames, and whole frames with random fields."""
    roll = random.Random(count)
    with paced_board.PacedBoard(paced_board.build(chain(layers=2))) as machine:
        for start in range(0, count, 500):
            line = bytearray()
            for seq in range(start, start + 500):
                kind = roll.choice([1, 2, 2, 3, 4, 5, roll.randrange(7, 256)])
                content = HEADER.pack(NEWEST, kind, seq & 0xFFFF, 0) + anything(roll, b"")
                noise = roll.randbytes(roll.randrange(3000))
                line += damaged(roll, frame(content)) if roll.random() < 0.95 else noise
            assert Frames(4096).receive(machine.step(bytes(line))), "nothing was answered"


def reply(roll: Roll, link: Link) -> bytes:
    """What a board would never say: any kind, sequence numbers near those that are asked, bodies of any size."""
    kind = roll.choice((HELLO, ERROR, *(kind | REPLY for kind in Kind), roll.randrange(256)))
    content = HEADER.pack(
        roll.choice((NEWEST, NEWEST, roll.randrange(256))), kind, roll.randrange(40), roll.getrandbits(32)
    )
    content += roll.randbytes(roll.choice((0, 0, 1, 12, 120, roll.randrange(5000))))
    made = frame(content[: roll.choice((len(content), len(content), roll.randrange(9)))])
    return damaged(roll, made)


@pytest.mark.parametrize(
    "count", [1500, pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_no_reply_harms_the_link_and_splits_change_nothing(count: int) -> None:
    roll = random.Random(count)
    for start in range(0, count, 50):
        whole, split = Link(window=4), Link(window=4)
        for now in range(start, start + 50):
            asked = (roll.choice(list(Kind)), roll.randbytes(4))
            said = reply(roll, whole)
            for link in (whole, split):
                link.send(asked[0], asked[1], now)
            whole.receive_data(said, now)
            for at in range(len(said)):
                split.receive_data(said[at : at + 1], now)
            assert whole.events() == split.events()
            assert whole.data_to_send() == split.data_to_send()
            for link in (whole, split):
                link.handle_timer(now)
        assert whole.counts == split.counts
        assert whole.damaged == split.damaged
