"""What the daemon implements to be served by `edged_ipc.server`: a Protocol class, and what goes in and out.

Threads: everything is called on the server's own thread and must not block, but for the two coroutines, which
run on the asyncio loop that the server was given. Whatever a method raises becomes the client's error:
`code`, `message` and `remedy` of the exception where it has them, INTERNAL otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edged_ipc.messages import Limits, TensorSpec


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, as the kernel tells (credentials at the time of connect), and the name of the
    socket they came through."""

    pid: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    listener: str


@dataclass(frozen=True, slots=True)
class Opening:
    """An open session. `handle` is the service's own object for it and is handed back in every call; the
    server fills in the offsets of the tensors."""

    handle: Any
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    stateful: bool = False


class Replies(Protocol):
    """Where a session's answers go. From any thread, also from within `infer`; exactly one of the two per
    request that `infer` took."""

    def done(self, slot: int, queue_us: int, run_us: int, version: int) -> None:
        """The slot's outputs are there."""

    def failed(self, slot: int, code: int, message: str, remedy: str = "") -> None:
        """The request on this slot was refused or not finished; `code` is one of edged_ipc.codes."""


class Service(Protocol):
    """What the daemon does for its peers."""

    def hello(self, peer: Peer) -> Limits:
        """The limits of a new peer; raises to turn it away."""

    async def open(self, peer: Peer, model: str, priority: int | None, replies: Replies) -> Opening:
        """Opens a session; `priority` None leaves the default to the model. Raises when there is no such
        model."""

    def attach(self, handle: Any, slots: list[memoryview]) -> None:
        """Further slots, each `slot_bytes` long; numbered on from those before. The session may read and
        write them until `close`."""

    def infer(
        self, handle: Any, request: int, slot: int, priority: int | None, deadline: float | None
    ) -> Any:
        """Begins a request on a slot that has none under way; `deadline` in seconds from now. Returns what
        `cancel` needs. When it raises, the request is answered with that, and must not be answered through
        `Replies`."""

    def cancel(self, handle: Any, ticket: Any) -> None:
        """The client has lost interest in what `infer` returned `ticket` for; it is answered all the same."""

    def reset(self, handle: Any) -> None:
        """Variables back to their initial values; nothing of the session is under way."""

    def close(self, handle: Any) -> None:
        """The session has ended and every request of it was answered. Views of its slots are to be dropped
        now."""

    async def control(self, peer: Peer, name: str, body: Any, push: Callable[[str, Any], None]) -> Any:
        """Does what a control message asks. `push(name, body)` sends an Event on the way to the answer, and
        raises NotConnectedError when the peer has gone."""
