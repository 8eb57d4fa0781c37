"""The buffer that a peer's bytes wait in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged_ipc.inbox import KEPT, SMALL, Inbox


@given(st.lists(st.tuples(st.integers(0, 3 * SMALL), st.integers(0, 4 * SMALL)), max_size=20))
def test_what_goes_in_comes_out(steps: list[tuple[int, int]]) -> None:
    """Whatever is written and taken in whatever pieces: first in, first out, nothing lost."""
    inbox, written, taken = Inbox(), bytearray(), bytearray()
    for count, take in steps:
        piece = bytes((len(written) + i) % 251 for i in range(count))
        inbox.room(count)[:] = piece
        inbox.end += count
        written += piece
        take = min(take, len(inbox))
        taken += inbox.data[inbox.begin : inbox.begin + take]
        inbox.begin += take
    taken += inbox.data[inbox.begin : inbox.end]
    assert taken == written


def test_room_that_is_not_filled() -> None:
    inbox = Inbox()
    inbox.room(100)[:3] = b"abc"
    inbox.end += 3
    assert len(inbox.room(50)) == 50
    assert bytes(inbox.data[inbox.begin : inbox.end]) == b"abc"


def test_large_buffers_are_kept_within_reason() -> None:
    inbox = Inbox()
    for size, kept in ((KEPT, KEPT), (KEPT + 1, SMALL)):
        inbox.room(size)
        inbox.end += size
        inbox.begin = inbox.end
        inbox.room(1)
        assert len(inbox.data) == kept
