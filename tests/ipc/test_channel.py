"""Threads that wait on one connection: a daemon played by the test answers in the order it likes."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edged_ipc import errors
from edged_ipc import messages as m
from edged_ipc.channel import Answer, Channel
from edged_ipc.connection import Connection
from edged_ipc.dialing import dial
from edged_ipc.rules import Role
from edged_ipc.wire import encode


class Daemon:
    """The other end, in the test's hands."""

    def __init__(self) -> None:
        self.sock, self.theirs = socket.socketpair()
        self.sock.settimeout(10)
        self.connection = Connection(Role.DAEMON)

    def hear(self) -> Any:
        while (message := self.connection.next_event()) is None:
            self.connection.receive_data(self.sock.recv(4096))
        return message

    def say(self, message: m.Message) -> None:
        self.sock.sendall(self.connection.send(message))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    made = Daemon()
    yield made
    made.sock.close()


@pytest.fixture
def channel(daemon: Daemon) -> Iterator[Channel]:
    def greet() -> None:
        daemon.hear()
        daemon.say(m.Welcome(1, "played", "boot", m.Limits()))

    thread = threading.Thread(target=greet)
    thread.start()
    made = Channel(daemon.theirs, "test", 10)
    thread.join()
    yield made
    made.close()


def ask(channel: Channel) -> tuple[int, Answer]:
    request, answer = channel.next_id(), Answer()
    channel.post(m.Infer(request, 0, request), answer)
    return request, answer


def test_answers_reach_the_threads_that_wait_for_them(daemon: Daemon, channel: Channel) -> None:
    """The thread that reads first gets its answer last: the others must not wait for it."""
    asked = [ask(channel) for _ in range(8)]
    order: list[int] = []

    def wait(request: int, answer: Answer) -> None:
        assert channel.wait(answer, 10)
        assert answer.get().request == request
        order.append(request)

    threads = [threading.Thread(target=wait, args=pair) for pair in asked]
    for thread in threads:
        thread.start()
    assert [daemon.hear().request for _ in asked] == [request for request, _ in asked]
    for request, _ in reversed(asked):
        before = len(order)
        daemon.say(m.Done(request, 0, 0, 0))
        threads[request - 1].join(10)
        assert order[before:] == [request]


def test_the_reading_is_handed_over(daemon: Daemon, channel: Channel) -> None:
    """The reader leaves with its answer; somebody else reads on."""
    asked = [ask(channel) for _ in range(3)]
    threads = [threading.Thread(target=channel.wait, args=(answer, 10)) for _, answer in asked]
    for thread, (request, _) in zip(threads, asked, strict=True):
        thread.start()
        daemon.hear()
        daemon.say(m.Done(request, 0, 0, 0))
        thread.join(10)
        assert not thread.is_alive()


def test_timeouts_leave_the_request(daemon: Daemon, channel: Channel) -> None:
    request, answer = ask(channel)
    assert not channel.wait(answer, 0.01)
    daemon.hear()
    daemon.say(m.Done(request, 1, 2, 3))
    assert channel.wait(answer, 10)
    assert answer.get() == m.Done(request, 1, 2, 3)


def test_timeouts_of_those_who_stand_by(daemon: Daemon, channel: Channel) -> None:
    _, first = ask(channel)
    request, second = ask(channel)
    reader = threading.Thread(target=channel.wait, args=(first, 10))
    reader.start()
    while not channel._reading.locked():
        pass
    assert not channel.wait(second, 0.01)
    daemon.hear()
    daemon.hear()
    daemon.say(m.Done(request, 0, 0, 0))
    daemon.say(m.Failed(1, 101, "full", "wait"))
    reader.join(10)
    assert channel.wait(second, 10)
    with pytest.raises(errors.BusyError, match="full"):
        first.get()


@pytest.mark.parametrize(
    ("goodbye", "expected"),
    [
        (None, errors.UnknownOutcomeError),
        (m.Goodbye(108, "stopping"), errors.ShuttingDownError),
        (m.Goodbye(105, "what was that"), errors.UnknownOutcomeError),
    ],
)
def test_ends(daemon: Daemon, channel: Channel, goodbye: m.Goodbye | None, expected: type[Exception]) -> None:
    _, answer = ask(channel)
    daemon.hear()
    if goodbye is not None:
        daemon.say(goodbye)
    daemon.sock.close()
    assert channel.wait(answer, 10)
    with pytest.raises(expected):
        answer.get()
    _, late = ask(channel)
    assert channel.wait(late, 10)
    with pytest.raises(errors.NotConnectedError, match="not sent"):
        late.get()


def test_a_daemon_that_breaks_the_protocol(daemon: Daemon, channel: Channel) -> None:
    _, answer = ask(channel)
    daemon.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    assert channel.wait(answer, 10)
    with pytest.raises(errors.UnknownOutcomeError, match="no frame"):
        answer.get()
    assert isinstance(channel.dead, errors.RemoteProtocolError)


def test_close_wakes_who_waits(daemon: Daemon, channel: Channel) -> None:
    _, answer = ask(channel)
    thread = threading.Thread(target=channel.wait, args=(answer,))
    thread.start()
    while not channel._reading.locked():
        pass
    channel.close()
    thread.join(10)
    with pytest.raises(errors.UnknownOutcomeError):
        answer.get()


def test_greeting_that_does_not_come() -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(errors.NotConnectedError, match=r"within 0.01 s"):
        Channel(ours, "test", 0.01)
    ours, theirs = socket.socketpair()
    theirs.close()
    with pytest.raises(errors.NotConnectedError):
        Channel(ours, "test", 1)


def test_dial_bounds_its_time(tmp_path: Any) -> None:
    """A daemon that accepts nobody: the queue is full, and connect gives up."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(0)
        with dial(path, 1), pytest.raises(errors.NotConnectedError, match="does not accept"):
            dial(path, 0.05)


class Interrupt(BaseException):
    """What a signal's handler raises here, as Python's own raises KeyboardInterrupt."""


@pytest.fixture
def alarm() -> Iterator[None]:
    def ring(_number: int, _frame: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_who_is_interrupted_while_standing_by_takes_nobodys_turn(
    daemon: Daemon, channel: Channel, alarm: None
) -> None:
    """One thread reads, this one and a third wait; this one is interrupted. The third must be offered the reading."""
    (first, answer), (_, mine), (third, last) = ask(channel), ask(channel), ask(channel)
    reader = threading.Thread(target=channel.wait, args=(answer, 20))
    reader.start()
    while not channel._reading.locked():
        pass
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(Interrupt):
        channel.wait(mine, 20)
    waiter = threading.Thread(target=channel.wait, args=(last, 20))
    waiter.start()
    while len(channel._queue) < 1:
        pass
    daemon.hear()
    daemon.say(m.Done(first, 0, 0, 0))
    reader.join(10)
    daemon.hear()
    daemon.hear()
    daemon.say(m.Done(third, 0, 0, 0))
    waiter.join(5)
    assert not waiter.is_alive()
    assert last.settled


class _Cut:
    """A socket whose sendall is interrupted when half of the bytes are out."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        self._sock.sendall(data[: len(data) // 2])
        raise Interrupt


def test_nothing_follows_half_a_frame(daemon: Daemon, channel: Channel) -> None:
    _, before = ask(channel)
    plain, channel._sock = channel._sock, _Cut(channel._sock)  # type: ignore[assignment]
    with pytest.raises(Interrupt):
        ask(channel)
    channel._sock = plain
    assert channel.wait(before, 10)
    assert channel.dead is not None
    with pytest.raises(errors.UnknownOutcomeError):
        before.get()
    assert daemon.hear().request == 1
    while data := daemon.sock.recv(100):
        daemon.connection.receive_data(data)
    assert 0 < daemon.connection.held < len(encode(m.Infer(2, 0, 2)))  # half of the other, and nothing behind it
