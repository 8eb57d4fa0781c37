"""The conversation with what is no board of ours, or a board that talks nonsense: every fault is a LinkError that says what
it looks like, and never another exception."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic, sleep

import pytest

from edged.config import McuConfig
from edged.demo import MODELS
from edged.errors import BackendError, LinkError
from edged.formats import tflite
from edged_backends.mcu import board as board_module
from edged_backends.mcu.backend import McuBackend
from edged_backends.mcu.board import Board
from edged_backends.mcu.frame import Frames, frame
from edged_backends.mcu.messages import ERROR, HEADER, HELLO, IDENTITY, NEWEST, OLDEST, REPLY, Kind

FIELDS: dict[str, object] = {
    "board": b"peer", "target": b"cortex-m4", "boot": 1, "clock_hz": 1000, "slot_address": 0x1000, "slot_bytes": 4096,
    "other_address": 0, "arena_bytes": 4096, "firmware": 1, "frame_bytes": 1024, "window": 4, "cause": 0, "fault_pc": 0,
    "fault_lr": 0, "fault_reason": 0, "damaged": 0, "digest": b"", "held": b"", "spare": b"",
}  # fmt: skip


def identity(**changes: object) -> bytes:
    """An answer to IDENTIFY."""
    return bytes((OLDEST, NEWEST)) + IDENTITY.pack(*{**FIELDS, **changes}.values())


def said(kind: int, seq: int, body: bytes = b"", boot: int = 1) -> bytes:
    return frame(HEADER.pack(NEWEST, kind, seq, boot) + body)


@dataclass
class Peer:
    """A port whose other end gives `answers` to requests, and says `noise` whenever it is read and has no answer."""

    answers: Callable[[int, int, bytes], bytes] = lambda kind, seq, body: b""
    noise: bytes = b""
    closed: bool = False
    asked: list[tuple[int, int, bytes]] = field(default_factory=list)
    _frames: Frames = field(default_factory=lambda: Frames(4096))
    _waiting: bytes = b""

    def write(self, data: bytes, seconds: float) -> None:
        for content in self._frames.receive(data):
            _, kind, seq, _ = HEADER.unpack_from(content)
            self.asked.append((kind, seq, content[HEADER.size :]))
            self._waiting += self.answers(kind, seq, content[HEADER.size :])

    def read(self, seconds: float) -> bytes:
        data, self._waiting = self._waiting or self.noise, b""
        return data

    def close(self) -> None:
        self.closed = True


def board_of(peer: Peer) -> Board:
    return Board(lambda: peer, patience=0.05, run_seconds=0.05)  # type: ignore[arg-type,return-value]


def known(body: bytes, **changes: object) -> Callable[[int, int, bytes], bytes]:
    """Identifies itself, and gives `body` as the answer to everything else."""
    return lambda kind, seq, _: said(
        kind | REPLY, seq, identity(**changes) if kind == Kind.IDENTIFY else body
    )


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (b"", r"no answer for \d+\.\d s$"),
        (
            b"=> unknown command\r\n",
            r"no answer for .* bytes that are none came .is it edged.s firmware, and is .* baud",
        ),
        (
            b"\x80\xff\0\x12\x34\0",
            r"no answer for .* bytes that are none came .is it edged.s firmware, and is .* baud",
        ),
    ],
)
def test_who_never_answers(noise: bytes, words: str) -> None:
    with pytest.raises(LinkError, match=words):
        board_of(Peer(noise=noise)).identify()


@pytest.mark.parametrize("size", [0, 5, 12, 13])
def test_answers_of_another_size(size: int) -> None:
    board = board_of(Peer(known(bytes(size))))
    board.identify()
    with pytest.raises(
        LinkError, match="bytes of how the run went" if size < 12 else "of an output instead of"
    ):
        board.run([bytes(40)], [10])
    board.identify()
    if size < 12:
        with pytest.raises(LinkError, match="bytes of how the run went"):
            board.stats([bytes(40)])
    else:
        assert board.stats([bytes(40)]) == (0, [])


def test_a_board_that_says_its_frames_are_empty() -> None:
    board = board_of(Peer(known(b"", frame_bytes=0, window=0, clock_hz=0)))
    board.identify()
    board.load(bytes(4096))
    board.load(bytes(4095))


def test_a_program_for_the_slot_of_another_board() -> None:
    board = board_of(Peer(known(b"")))
    board.identify()
    with pytest.raises(LinkError, match="for another slot than 0x1000"):
        board.load({0x2000: bytes(100)})


def test_flash_is_not_worn_out_by_programs_that_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(board_module, "monotonic", lambda: now)
    peer = Peer(known(b"", other_address=0x3000))
    board = board_of(peer)
    board.identify()
    images = [{0x1000: bytes([n]) * 50, 0x3000: bytes([n]) * 51} for n in range(3)]

    for turn in range(board_module.ERASES_AN_HOUR):
        board.load(images[turn % 3])
    with pytest.raises(BackendError, match="too many programs take turns"):
        board.load(images[board_module.ERASES_AN_HOUR % 3])
    assert [kind for kind, _, _ in peer.asked].count(Kind.ERASE) == board_module.ERASES_AN_HOUR
    now += 3601
    board.load(images[board_module.ERASES_AN_HOUR % 3])


def test_a_name_that_would_move_the_cursor() -> None:
    board = board_of(Peer(known(b"", board=b"a\x1b[31m\xff\r\nb", target=b"\x07cortex-m4")))
    found = board.identify()
    assert (found.board, found.target) == ("a.[31m...b", ".cortex-m4")


def reset_answered(by: bytes) -> Callable[[int, int, bytes], bytes]:
    """IDENTIFY as ever; RESET by `by` once, and refused in the next life."""
    seen: list[int] = []

    def answers(kind: int, seq: int, _body: bytes) -> bytes:
        if kind == Kind.IDENTIFY:
            return said(kind | REPLY, seq, identity())
        seen.append(seq)
        return by if len(seen) == 1 else said(ERROR, seq, b"\3", boot=2)

    return answers


@pytest.mark.parametrize(
    "by",
    [
        said(HELLO, 0, identity(boot=2), boot=2),
        said(Kind.RESET | REPLY, 1)[:-3] + b"\0" + said(HELLO, 0, identity(boot=2), boot=2),
        b"",
    ],
)
def test_a_reset_whose_answer_was_cut_off_by_it(by: bytes) -> None:
    """The new life says so, or refuses the request when it comes again."""
    board = Board(lambda: Peer(reset_answered(by)), patience=5.0)  # type: ignore[arg-type,return-value]
    board.identify()
    board.reset()
    assert board.identity is None


def test_an_old_greeting_is_no_answer_to_a_reset() -> None:
    peer = Peer(reset_answered(said(HELLO, 0, identity())))
    board = Board(lambda: peer, patience=5.0)  # type: ignore[arg-type,return-value]
    board.identify()
    board.reset()
    assert [kind for kind, _, _ in peer.asked] == [Kind.IDENTIFY, Kind.RESET, Kind.RESET]


def test_another_board_on_the_same_port_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    arena = 4096

    def answers(kind: int, seq: int, _body: bytes) -> bytes:
        return said(kind | REPLY, seq, identity(arena_bytes=arena, slot_bytes=1 << 20))

    monkeypatch.setattr("edged_backends.mcu.backend.Port", lambda *_: Peer(answers))
    backend = McuBackend(McuConfig(port="somewhere"))
    node = tflite.read(MODELS["int8"].read_bytes()).main.nodes[0]
    assert backend.supports(node)
    arena = 64
    assert backend.probe()
    assert "the board has 64" in backend.supports(node).reason


def test_the_end_waits_for_no_load() -> None:
    """Of half a minute, on a slow line."""
    asked = threading.Event()

    def answers(kind: int, seq: int, _body: bytes) -> bytes:
        if kind == Kind.IDENTIFY:
            return said(kind | REPLY, seq, identity(slot_bytes=1 << 20))
        asked.set()
        sleep(0.05)
        return said(kind | REPLY, seq)

    board = Board(lambda: Peer(answers), patience=5.0)  # type: ignore[arg-type,return-value]
    board.identify()
    failed: list[str] = []

    def load() -> None:
        try:
            board.load(bytes(1 << 20))
        except LinkError as error:
            failed.append(error.message)

    thread = threading.Thread(target=load)
    thread.start()
    assert asked.wait(10)
    start = monotonic()
    board.end()
    thread.join(10)
    assert monotonic() - start < 3.0
    assert failed == ["the board is not used any more: edged ends"]
