"""A Service that needs no model: outputs are the inputs, as bytes. For tests and benches of edged_ipc.

Models: "echo-N" has one uint8 input and output of N bytes; "two" a float32 [1, 4] and an int8 [2, 3], both
back again; "count" an int32 state that grows with each request; "slow-S" answers after S seconds, from a
thread; "never" when it is cancelled; "fail" with BAD_INPUT.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edged_ipc.codes import Code
from edged_ipc.errors import ModelNotFoundError, NotPermittedError
from edged_ipc.listening import bind
from edged_ipc.messages import Limits, TensorSpec
from edged_ipc.server import Server
from edged_ipc.service import Opening, Peer, Replies


@dataclass
class EchoSession:
    """What a client has open."""

    model: str
    replies: Replies
    parts: list[tuple[slice, slice]]
    slots: list[memoryview] = field(default_factory=list)
    state: int = 0


class EchoService:
    """Implements edged_ipc.service.Service."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.open_sessions = 0
        self.refused_uids: set[int] = set()

    def hello(self, peer: Peer) -> Limits:
        if peer.uid in self.refused_uids:
            raise NotPermittedError(f"user {peer.uid} may not infer", remedy="add a policy to edged.toml")
        return self.limits

    async def open(self, peer: Peer, model: str, priority: int | None, replies: Replies) -> Opening:
        inputs, outputs = tensors(model)
        sizes = [-(-t.nbytes // 64) * 64 for t in inputs]
        begins = [sum(sizes[:i]) for i in range(len(sizes))]
        total = sum(sizes)
        parts = [
            (slice(at, at + t.nbytes), slice(total + at, total + at + t.nbytes))
            for at, t in zip(begins, inputs, strict=True)
        ]
        session = EchoSession(model, replies, parts)
        self.open_sessions += 1
        return Opening(session, 1, inputs, outputs, model == "count")

    def attach(self, handle: EchoSession, slots: list[memoryview]) -> None:
        handle.slots += slots

    def infer(
        self, handle: EchoSession, request: int, slot: int, priority: int | None, deadline: float | None
    ) -> Any:
        name = handle.model
        if name.startswith("echo"):
            self.run(handle, slot)
        elif name == "never":
            return slot
        elif name == "fail":
            handle.replies.failed(slot, Code.BAD_INPUT, "these inputs are not liked", "send others")
        elif name.startswith("slow"):
            timer = threading.Timer(float(name.removeprefix("slow-")), self.run, (handle, slot))
            timer.daemon = True
            timer.start()
        else:
            self.run(handle, slot)
        return None

    def run(self, handle: EchoSession, slot: int) -> None:
        memory = handle.slots[slot]
        if handle.model == "count":
            handle.state += 1
            struct.pack_into("<i", memory, 64, handle.state)
        else:
            for source, target in handle.parts:
                memory[target] = memory[source]
        handle.replies.done(slot, 1, 2, 1)

    def cancel(self, handle: EchoSession, ticket: int) -> None:
        handle.replies.failed(ticket, Code.CANCELLED, "cancelled")

    def reset(self, handle: EchoSession) -> None:
        handle.state = 0

    def close(self, handle: EchoSession) -> None:
        handle.slots.clear()
        self.open_sessions -= 1

    async def control(self, peer: Peer, name: str, body: Any, push: Callable[[str, Any], None]) -> Any:
        if name == "echo":
            return body
        if name == "count":
            for i in range(body):
                push("step", i)
            return "counted"
        if name == "sleep":
            await asyncio.sleep(body)
            return "slept"
        if name == "peer":
            return [peer.pid, peer.uid, peer.gid, list(peer.groups), peer.listener]
        if name == "crash":
            raise RuntimeError("a secret of the daemon")
        raise NotPermittedError(f"nobody may {name}")


def tensors(model: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of a model of the echo service."""
    if model == "two":
        ins = (TensorSpec("a", "float32", (1, 4), 16), TensorSpec("b", "int8", (2, 3), 6, 0, (0.5,), (3,)))
        return ins, (TensorSpec("x", "float32", (1, 4), 16), TensorSpec("y", "int8", (2, 3), 6))
    if model in ("count", "never", "fail"):
        return (TensorSpec("n", "int32", (1,), 4),), (TensorSpec("total", "int32", (1,), 4),)
    if model.startswith("slow-"):
        return (TensorSpec("n", "int32", (1,), 4),), (TensorSpec("m", "int32", (1,), 4),)
    if not model.startswith("echo-"):
        raise ModelNotFoundError(f"no model {model!r} is loaded", remedy="loaded: echo-N, two, count")
    size = int(model.removeprefix("echo-"))
    return (TensorSpec("x", "uint8", (size,), size),), (TensorSpec("y", "uint8", (size,), size),)


def report(text: str, error: BaseException | None) -> None:
    print(f"echo service: {text}: {error!r}", file=sys.stderr, flush=True)


async def serve(path: str) -> None:
    """Serves until stdin is closed: a line "drain" on it stops in order."""
    loop = asyncio.get_running_loop()
    server = Server(EchoService(), loop, report, name="echo service")
    server.listen(bind(path), "apps")
    server.start()
    print("ready", flush=True)
    line = await loop.run_in_executor(None, sys.stdin.readline)
    if line.strip() == "drain":
        server.drain(5.0)
    server.stop()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
