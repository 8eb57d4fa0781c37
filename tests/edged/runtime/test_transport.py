"""Frames between the daemon and a child: bounded in size and time, however many descriptors are open."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from edged.runtime import transport

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_frame_there_and_back(pair: Pair) -> None:
    ours, theirs = pair
    transport.send(ours, b"hello", timeout=1.0)
    assert transport.receive(theirs, 100) == b"hello"
    transport.send(theirs, transport.ENCODE(transport.Reply(value=[1, "two"])))
    assert transport.DECODE(transport.receive(ours, 100, 5.0)).value == [1, "two"]


def test_silence_and_a_peer_that_takes_nothing_are_both_slow(pair: Pair) -> None:
    ours, _theirs = pair
    with pytest.raises(transport.SlowError, match="no answer"):
        transport.receive(ours, 100, 0.01)
    with pytest.raises(transport.SlowError, match="nothing was taken"):
        transport.send(ours, bytes(8 << 20), timeout=0.05)


def test_too_large_a_frame_and_a_peer_that_has_gone(pair: Pair) -> None:
    ours, theirs = pair
    transport.send(theirs, bytes(200))
    with pytest.raises(transport.ClosedError, match="a frame of 200 bytes, 100 are allowed"):
        transport.receive(ours, 100)
    theirs.close()
    with pytest.raises(transport.ClosedError):
        transport.send(ours, b"anybody?")


def test_descriptors_beyond_1023(pair: Pair) -> None:
    """A daemon with many clients starts its children again with sockets that select(2) does not know."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 1200:
        pytest.skip("this process may not have 1,200 descriptors")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    held = [os.dup(0) for _ in range(1040)]
    try:
        ours, theirs = socket.socketpair()
        assert ours.fileno() > 1023
        with ours, theirs:
            transport.send(theirs, b"hello")
            assert transport.receive(ours, 100, 5.0) == b"hello"
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
