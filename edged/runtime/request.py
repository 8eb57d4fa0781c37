"""One request on its way through the steps of a session.

Small and fixed: a request holds numbers and references to what its slot has bound beforehand, and no object
per tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edged_ipc.codes import Code

if TYPE_CHECKING:
    from edged.runtime.session import Binding, ClientSession

Done = Callable[["Request", Code, str], None]
"""Called once, from any thread, when a request has ended: with OK and "", or a code and what to tell the
client."""

NEVER = float("inf")


class Request:
    """`priority` 0 (first) ... 31; `deadline` on the monotonic clock; times in seconds of that clock.

    `order` is what a mailbox sorts by. `epoch` rises when a request is taken away from a device (hang,
    retry), so that the device's late answer is recognised as stale.
    """

    __slots__ = (
        "binding", "cancelled", "deadline", "done", "ended", "epoch", "id", "order", "posted", "priority",
        "retries", "run_seconds", "session", "slot", "started", "step", "version",
    )  # fmt: skip

    def __init__(
        self,
        session: ClientSession,
        id: int,
        slot: int,
        binding: Binding,
        done: Done,
        priority: int,
        deadline: float,
        now: float,
    ) -> None:
        self.session = session
        self.id = id
        self.slot = slot
        self.binding = binding
        self.done = done
        self.priority = priority
        self.deadline = deadline
        self.posted = now
        self.started = 0.0
        self.run_seconds = 0.0
        self.step = 0
        self.retries = 0
        self.epoch = 0
        self.version = 0
        self.cancelled = False
        self.ended = False
        self.order = (priority, deadline)

    @property
    def queue_seconds(self) -> float:
        return max(self.started - self.posted, 0.0) if self.started else 0.0
