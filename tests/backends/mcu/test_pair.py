"""The firmware's C opposite Board and Link, on a wire in virtual time that drops, flips, doubles, splits, joins and delays
bytes, stands still, and loses the board to resets. No clock but the wire's.

The invariant: every run is answered with the reference's bytes, or reported as a LinkError; never with other bytes.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pytest

from edged.demo import MODELS as DEMO
from edged.errors import LinkError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.runtime.house import seeded
from edged_backends.mcu import board as board_module
from edged_backends.mcu.board import Board
from edged_backends.mcu.rig.proxy import Faults
from support import paced_board

COUNT = 300  # bytes in and out of add_one.c


@dataclass
class Wire:
    """A Port whose other end is the firmware. Bytes keep their order; each piece has its time of arrival."""

    machine: paced_board.PacedBoard
    roll: random.Random
    faults: Faults
    resets: float = 0.0
    """Chance of a reset per piece that reaches the board; its bytes are lost, or a part of its answer."""
    stalls: float = 0.0
    """Chance that what the board says waits for seconds; it arrives afterwards, when nobody waits for it."""
    now: float = 1.0
    bytes_per_second: float = 100_000
    seen: dict[str, int] = field(default_factory=lambda: {"resets": 0, "stalls": 0, "faults": 0, "bytes": 0})

    def __post_init__(self) -> None:
        self._down: deque[tuple[float, bytes]] = deque()
        self._up: deque[tuple[float, bytes]] = deque()
        self._hear(self.machine.greeting)

    def monotonic(self) -> float:
        return self.now

    def write(self, data: bytes, seconds: float) -> None:
        self._queue(self._down, data)

    def close(self) -> None:
        pass

    def read(self, seconds: float) -> bytes:
        """What arrives first, or b"" when the time is over."""
        end = self.now + max(0.0, seconds)
        while self._first() <= end:
            if self._up and self._up[0][0] <= self._first():
                self.now = max(self.now, self._up[0][0])
                return self._arrived()
            self.now = max(self.now, self._down[0][0])
            self._deliver(self._down.popleft()[1])
        self.now = end
        return b""

    def _first(self) -> float:
        return min((queue[0][0] for queue in (self._up, self._down) if queue), default=float("inf"))

    def _arrived(self) -> bytes:
        data = self._up.popleft()[1]
        while self._up and self._up[0][0] <= self.now + 0.0005:  # joined
            data += self._up.popleft()[1]
        return data

    def _deliver(self, piece: bytes) -> None:
        answer = self.machine.step(piece)
        if self.roll.random() < self.resets:
            self.seen["resets"] += 1
            answer = answer[: self.roll.randrange(len(answer) + 1)] + self.machine.reset()
        self._hear(answer)

    def _hear(self, answer: bytes) -> None:
        held = self.roll.random() < self.stalls
        self.seen["stalls"] += held
        self._queue(self._up, answer, self.roll.uniform(1, 8) if held else 0.0)

    def _queue(self, queue: deque[tuple[float, bytes]], data: bytes, wait: float = 0.0) -> None:
        """Damages, cuts and delays `data` on its way."""
        made = self.faults.apply(data, self.roll)
        self.seen["bytes"] += len(data)
        self.seen["faults"] += made != data
        when = max(self.now, queue[-1][0] if queue else 0.0) + wait
        while made:
            cut = self.roll.choice((len(made), len(made), self.roll.randrange(1, len(made) + 1)))
            cut = min(cut, max(1, int(self.bytes_per_second / 20)))
            when += self.roll.choice((0.0, 0.0002, 0.002)) + cut / self.bytes_per_second
            queue.append((when, made[:cut]))
            made = made[cut:]


@cache
def demo() -> Model:
    return tflite.read(DEMO["int8"].read_bytes())


@dataclass(frozen=True)
class Job:
    image: bytes
    data: bytes
    wanted: bytes


def jobs(machine: paced_board.PacedBoard, roll: random.Random) -> list[Job]:
    """Runs of both programs, with the bytes that are right."""
    first, second = (found + roll.randbytes(1200) for found in machine.descriptors)
    made = []
    for seed in range(24):
        data = bytes(roll.randrange(250) for _ in range(COUNT))
        made.append(Job(first, data, bytes((b + 1) & 255 for b in data)))
        inputs = seeded(demo().main.inputs, seed)
        (wanted,) = Evaluation(demo()).run(inputs).values()
        made.append(Job(second, inputs[0].tobytes(), wanted.tobytes()))
    return made


def play(board: Board, wire: Wire, jobs: list[Job], messages: int) -> Iterator[bool]:
    """Runs until that many messages were sent: True for each one answered, rightly, and False for one reported."""
    job = jobs[0]
    while board.link.counts.sent < messages:
        job = wire.roll.choice([j for j in jobs if j.image == job.image or wire.roll.random() < 0.05])
        try:
            if board.identity is None:
                board.identify()
            board.load(job.image)
            (found,), _ = board.run([job.data], [len(job.wanted)])
        except LinkError:
            yield False
            continue
        assert found == job.wanted, "a wrong result"
        yield True


@pytest.mark.parametrize(
    "messages", [4000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_every_run_is_right_or_reported(messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    roll = random.Random(messages)
    with paced_board.PacedBoard(paced_board.build(demo())) as machine:
        faults = Faults(drop=0.0004, flip=0.0004, double=0.0002)
        wire = Wire(machine, roll, faults, resets=0.002, stalls=0.001)
        monkeypatch.setattr(board_module, "monotonic", wire.monotonic)
        board = Board(lambda: wire, patience=2.0, run_seconds=2.0)  # type: ignore[arg-type,return-value]
        ended = list(play(board, wire, jobs(machine, roll), messages))
    counts = board.link.counts
    print(
        f"{counts}, damaged {board.link.damaged}, {wire.seen}, {sum(ended)} right, {ended.count(False)} reported"
    )
    assert sum(ended) > messages / 40
    assert 0 < ended.count(False) < len(ended) / 2
    assert min(counts.resent, counts.stale, *wire.seen.values()) > messages / 2000


def test_a_quiet_wire_has_no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    roll = random.Random(1)
    with paced_board.PacedBoard(paced_board.build(demo())) as machine:
        wire = Wire(machine, roll, Faults())
        monkeypatch.setattr(board_module, "monotonic", wire.monotonic)
        board = Board(lambda: wire, patience=2.0)  # type: ignore[arg-type,return-value]
        assert all(play(board, wire, jobs(machine, roll), 500))
    assert (board.link.counts.resent, board.link.counts.stale, board.link.damaged) == (0, 0, 0)


@pytest.mark.parametrize("baud", [300, 1200, 9600])
def test_a_slow_line_is_given_its_time(baud: int, monkeypatch: pytest.MonkeyPatch) -> None:
    roll = random.Random(baud)
    with paced_board.PacedBoard(paced_board.build(demo())) as machine:
        wire = Wire(machine, roll, Faults(), bytes_per_second=baud / 10)
        monkeypatch.setattr(board_module, "monotonic", wire.monotonic)
        board = Board(lambda: wire, patience=2.0, bytes_per_second=baud / 10)  # type: ignore[arg-type,return-value]
        assert all(play(board, wire, jobs(machine, roll), 300))
    assert (board.link.counts.resent, board.link.counts.stale) == (0, 0)
