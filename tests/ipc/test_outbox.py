"""Bytes on their way out: written by many threads, never mixed, bounded when nobody reads."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from edged_ipc.outbox import PAUSE, Outbox
from edged_ipc.poll import IN, OUT, Poll

HUP = select.EPOLLHUP


class Bench:
    """An outbox on one end of a socket pair, watched by a polling thread."""

    def __init__(self, most: int, seconds: float = 60) -> None:
        self.failures: list[object] = []
        self.poll = Poll(lambda *what: self.failures.append(what))
        self.ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(10)
        self.given_up = threading.Event()
        self.frames = threading.Event()
        self.outbox = Outbox(self.ours, self.poll, most, seconds, self.given_up.set)
        self.poll.add(self.ours.fileno(), IN, self._ready)
        self.thread = threading.Thread(target=self.poll.run)
        self.thread.start()

    def _ready(self, mask: int) -> None:
        if mask & OUT:
            self.outbox.flush()
        elif mask & HUP:
            self.outbox.close()
        if mask & IN:
            self.frames.set()
            self.outbox.stop_reading()

    def end(self) -> None:
        self.theirs.close()
        self.poll.stop()
        self.thread.join(10)
        if not self.outbox.closed or self.ours.fileno() >= 0:
            self.ours.close()
        assert not self.failures

    def read(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            got += self.theirs.recv(1 << 16)
        return bytes(got)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(1 << 22)
    yield made
    made.end()


def test_small_frames_go_at_once(bench: Bench) -> None:
    bench.outbox.write(b"hello")
    assert bench.outbox.unsent == 0
    assert bench.read(5) == b"hello"


def test_what_does_not_fit_follows(bench: Bench) -> None:
    data = bytes(range(256)) * 8192
    bench.outbox.write(data)
    assert bench.outbox.unsent > 0
    bench.outbox.write(b"end")
    assert bench.read(len(data) + 3) == data + b"end"
    while bench.outbox.unsent:
        pass
    bench.outbox.write(b"again")
    assert bench.read(5) == b"again"


def test_threads_never_mix_frames(bench: Bench) -> None:
    def write(mark: int) -> None:
        for _ in range(200):
            bench.outbox.write(bytes([mark]) * 1000)

    threads = [threading.Thread(target=partial(write, i)) for i in range(4)]
    for thread in threads:
        thread.start()
    got = bench.read(4 * 200 * 1000)
    for thread in threads:
        thread.join()
    frames = [got[i : i + 1000] for i in range(0, len(got), 1000)]
    assert all(len(set(frame)) == 1 for frame in frames)
    assert sorted(frame[0] for frame in frames) == sorted([0, 1, 2, 3] * 200)


def test_nobody_reads() -> None:
    bench = Bench(100_000)
    for _ in range(2000):
        bench.outbox.write(bytes(1000))
    assert bench.given_up.wait(10)
    assert bench.outbox.unsent <= 101_000
    bench.end()


def test_frames_wait_while_much_is_unsent(bench: Bench) -> None:
    """Whoever does not read its answers is not asked for more questions, and is again once it has read them."""
    bench.outbox.write(bytes(PAUSE * 16))
    assert bench.outbox.unsent > PAUSE
    bench.theirs.send(b"a question")
    assert not bench.frames.wait(0.1)
    bench.read(PAUSE * 16)
    assert bench.frames.wait(10)


def test_nothing_is_taken_for_a_while() -> None:
    bench = Bench(1 << 22, seconds=0.05)
    bench.outbox.write(bytes(1 << 20))
    assert bench.given_up.wait(10)
    assert bench.outbox.closed
    bench.end()


def test_slow_is_not_stuck() -> None:
    """A reader that takes a little all the time is served to the end."""
    bench = Bench(1 << 22, seconds=0.2)
    bench.outbox.write(bytes(1 << 20))
    left = 1 << 20
    while left:
        left -= len(bench.theirs.recv(min(left, 1 << 15)))
        threading.Event().wait(0.01)
    assert not bench.given_up.is_set()
    bench.end()


def test_the_peer_has_gone(bench: Bench) -> None:
    bench.theirs.close()
    for _ in range(3):
        bench.outbox.write(b"x" * 10)
    while not bench.outbox.closed:
        pass
    bench.outbox.write(b"x")
    assert bench.ours.fileno() == -1
