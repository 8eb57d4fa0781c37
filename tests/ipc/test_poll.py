"""The polling thread: readiness, posted calls, timers, and callbacks that raise."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from edged_ipc.poll import IN, Poll

Failures = list[tuple[str, BaseException]]


@pytest.fixture
def failures() -> Failures:
    return []


@pytest.fixture
def poll(failures: Failures) -> Iterator[Poll]:
    made = Poll(lambda *what: failures.append(what))
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_ready_and_removed(poll: Poll) -> None:
    read, write = os.pipe()
    got: list[bytes] = []
    event = threading.Event()

    def ready(mask: int) -> None:
        assert mask & IN
        got.append(os.read(read, 10))
        poll.remove(read)
        event.set()

    poll.post(lambda: poll.add(read, IN, ready))
    os.write(write, b"a")
    assert event.wait(10)
    os.write(write, b"b")
    done = threading.Event()
    poll.post(done.set)
    assert done.wait(10)
    assert got == [b"a"]
    os.close(read)
    os.close(write)


def test_posted_in_order(poll: Poll) -> None:
    got: list[int] = []
    event = threading.Event()
    for i in range(100):
        poll.post(lambda i=i: got.append(i))  # type: ignore[misc]
    poll.post(event.set)
    assert event.wait(10)
    assert got == list(range(100))


def test_timers_by_time(poll: Poll) -> None:
    got: list[str] = []
    event = threading.Event()

    def ask() -> None:
        poll.later(0.03, lambda: (got.append("late"), event.set()))  # type: ignore[func-returns-value]
        poll.later(0.0, lambda: got.append("early"))

    poll.post(ask)
    assert event.wait(10)
    assert got == ["early", "late"]


def test_what_raises_is_reported(poll: Poll, failures: Failures) -> None:
    read, write = os.pipe()
    event = threading.Event()

    def ready(_mask: int) -> None:
        os.read(read, 1)
        raise KeyError("in a callback")

    def raising() -> None:
        raise ValueError("posted")

    poll.post(lambda: poll.add(read, IN, ready))
    poll.post(raising)
    os.write(write, b"x")
    while len(failures) < 2:
        poll.post(event.set)
        assert event.wait(10)
        event.clear()
    assert {type(error) for _, error in failures} == {KeyError, ValueError}
    os.close(read)
    os.close(write)


def test_posting_after_the_end_is_harmless() -> None:
    made = Poll(lambda *_: None)
    thread = threading.Thread(target=made.run)
    thread.start()
    made.stop()
    thread.join(10)
    made.post(lambda: None)
