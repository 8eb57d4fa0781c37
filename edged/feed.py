"""The contract of a feed: a repository of models that an updater reads, over http, from a folder, or as a
plugin brings it (hook `edged_open_update`). A feed moves bytes and knows nothing of trust: whatever it says
is checked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator

from edged.errors import UpdateError


class FeedError(UpdateError):
    """The repository could not be reached, or stopped in the middle: tried again at the next poll."""


class NotThereError(FeedError):
    """The repository answers, and has no such file."""


class Feed(ABC):
    """One repository. Used by one thread."""

    @abstractmethod
    def open(self, path: str, start: int, limit: int) -> tuple[int, Generator[bytes, None, None]]:
        """The bytes of `path` (as "metadata/timestamp.json") from byte `start`, in pieces of 256 KiB at most,
        and the byte that they begin with: `start`, or 0 when the feed cannot begin there. It may end early;
        `limit` is the most that anybody will take. FeedError when it cannot be read, NotThereError when it is
        not there."""

    def close(self) -> None:
        """Lets connections go."""
