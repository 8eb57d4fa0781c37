"""What a host and a board say to each other. Pure: structs and their fields; runtime/serve.c is the other
half.

The host asks, the board answers; the board speaks unasked only once, after a reset (HELLO). Every request
may be sent again: writes and reads name their offset, and a RUN that is repeated (same sequence number) gets
the first one's answer. A board therefore needs no timers and no memory of what it sent.

Every message begins with `HEADER`. `boot` names the board's life since its last reset: a request that names
another one is refused, so nothing that was written before a reset is taken for what was written after it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from edged.errors import LinkError

OLDEST, NEWEST = 1, 1
"""The versions of the link that this host speaks. In all of them HEADER, IDENTIFY and the first two bytes of
its answer (the board's oldest and newest) are the same, so that both find one that they share."""
HEADER = struct.Struct("<BBHI")  # version, kind, sequence number, boot
ANY_BOOT = 0
REPLY, ERROR, HELLO = 0x80, 0x7F, 0xFE


class Kind(IntEnum):
    """Requests. Their replies carry `REPLY` beside it."""

    IDENTIFY = 1
    WRITE = 2  # area, offset, bytes
    SEAL = 3  # size, SHA-256: what was written to the slot becomes the program, if it is whole
    RUN = 4  # CRC-32 of all inputs, begin of the program's SHA-256 -> status, ticks, CRC-32 of all outputs
    READ = 5  # output, offset, length -> bytes
    RESET = 6
    STATS = 7  # as RUN -> the same, and ticks from the begin to the end of each step (TAPS at most)
    ERASE = 8  # makes the slot ready for WRITE


class Refusal(IntEnum):
    """Why a board refuses a request (ERROR)."""

    VERSION = 1
    KIND = 2
    BOOT = 3
    RANGE = 4
    DIGEST = 5
    PROGRAM = 6
    INPUTS = 7
    OTHER = 8


REASONS = {
    Refusal.VERSION: "it speaks another version of the link: flash the firmware of this edged",
    Refusal.KIND: "it does not know the request: flash the firmware of this edged",
    Refusal.BOOT: "it was reset meanwhile",
    Refusal.RANGE: "offset and size lie outside of what it has",
    Refusal.DIGEST: "the program that arrived is not the one that was sent",
    Refusal.PROGRAM: "it holds no program, or one of another layout or for another place",
    Refusal.INPUTS: "the inputs that arrived are not those that were sent",
    Refusal.OTHER: "it holds another program",
}
WRITE, SEAL, RUN, READ = (struct.Struct(s) for s in ("<HI", "<I32s", "<I4s", "<HIH"))
RAN = struct.Struct("<iII")
VERSIONS = struct.Struct("<BB")
IDENTITY = struct.Struct("<16s16sIIIIIIIHBBIIII32s32s32s")
SLOT_AREA = 0xFFFF
TAPS = 250
ANSWERS = {
    Kind.IDENTIFY: 2 * (VERSIONS.size + IDENTITY.size),  # a greeting may come before it
    Kind.RUN: RAN.size,
    Kind.STATS: RAN.size + 4 * TAPS,
}
"""Bytes of an answer's body at most, of those that have one; READ's has what was asked for."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a board says of itself. `versions` of the link are its oldest and newest; `frame_bytes` is the
    most that one message may carry, `window` how many requests it can hold unread; `fault_*` describe the
    crash that the last reset came from (cause 3). `other_address`: of a board with flash, the slot that the
    next program does not go to. `held` is the SHA-256 of the program that runs (with flash it is kept over a
    reset), and `spare` of a whole one in the slot for the next, which SEAL alone makes the one that runs;
    zeros for none, and for one that was linked into the firmware."""

    versions: tuple[int, int]
    board: str
    target: str
    boot: int
    clock_hz: int
    slot_address: int
    slot_bytes: int
    other_address: int
    arena_bytes: int
    firmware: int
    frame_bytes: int
    window: int
    cause: int
    fault_pc: int
    fault_lr: int
    fault_reason: int
    damaged: int
    digest: bytes
    held: bytes
    spare: bytes


CAUSES = {0: "power on", 1: "a reset that was asked for", 2: "the watchdog", 3: "a fault", 4: "the reset pin"}


def identity(body: bytes) -> Identity:
    """LinkError when the board's answer has another layout."""
    if len(body) != VERSIONS.size + IDENTITY.size:
        raise LinkError(
            f"the board's identity has {len(body)} bytes instead of {VERSIONS.size + IDENTITY.size}",
            remedy="flash the firmware of this edged",
        )
    board, target, *rest = IDENTITY.unpack_from(body, VERSIONS.size)
    return Identity(VERSIONS.unpack_from(body), _text(board), _text(target), *rest)


def agreed(body: bytes, spoken: tuple[int, int] = (OLDEST, NEWEST)) -> int:
    """The newest version that a board, by its answer to IDENTIFY, and a host share. LinkError when there is
    none."""
    if len(body) < VERSIONS.size:
        raise LinkError(
            "the board does not say which versions of the link it speaks",
            remedy="flash the firmware of this edged",
        )
    oldest, newest = body[0], body[1]
    shared = min(newest, spoken[1])
    if shared < max(oldest, spoken[0]):
        old = "the board's firmware" if newest < spoken[0] else "edged on this gateway"
        raise LinkError(
            f"the board speaks versions {oldest} to {newest} of the link, "
            f"this edged {spoken[0]} to {spoken[1]}",
            remedy=f"update {old}",
        )
    return shared


def _text(raw: bytes) -> str:
    """Printable, whatever a board says: people read it in terminals."""
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in raw.split(b"\0")[0])


def reason(body: bytes) -> str:
    """An ERROR's body in words."""
    code = body[0] if body else 0
    return REASONS[Refusal(code)] if code in REASONS else f"refusal {code}"
