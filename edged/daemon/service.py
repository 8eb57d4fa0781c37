"""The house, as `edged_ipc.server` wants it: sessions of clients, their requests, and control messages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from edged.config import PolicyConfig
from edged.daemon.control import COMMANDS, LOOKS, Control, run
from edged.daemon.policy import Policy, check_model, check_right
from edged.graph.model import Tensor
from edged.runtime.house import House
from edged.runtime.request import NEVER, Request
from edged.runtime.session import ClientSession
from edged_ipc.codes import Code
from edged_ipc.messages import Limits, TensorSpec
from edged_ipc.service import Opening, Peer, Replies

log = logging.getLogger("edged.client")
MICRO = 1_000_000
REMEDIES = {
    Code.DEADLINE_MISSED: "allow more time, raise the priority, or spread the load",
    Code.BACKEND_FAILED: "see `edged status` for the device and `edged logs` for the cause; send it again",
    Code.BACKEND_HUNG: "see `edged status`; raise [limits] run_seconds if the model needs that long",
    Code.BACKEND_GONE: "see `edged doctor` for the device; send it again",
    Code.MODEL_UNLOADED: "open the model again",
}
"""What a client can do when a request that was accepted did not end well."""


@dataclass(eq=False, slots=True)
class Handle:
    """One open session: whose it is, and where its answers go."""

    peer: Peer
    model: str
    session: ClientSession
    replies: Replies

    def ended(self, request: Request, code: Code, text: str) -> None:
        """Answers a request, from whatever thread it ended on."""
        if code is Code.OK:
            queue = int(request.queue_seconds * MICRO)
            self.replies.done(request.slot, queue, int(request.run_seconds * MICRO), request.version)
        else:
            log.info("%s", text, extra=self._fields(request, code))
            self.replies.failed(request.slot, int(code), text, REMEDIES.get(code, ""))

    def _fields(self, request: Request, code: Code) -> dict[str, object]:
        """For the journal: which request of whom ended how."""
        client = f"pid {self.peer.pid}, uid {self.peer.uid}"
        return {"model": self.model, "request": request.id, "client": client, "version": request.version,
                "code": code.name}  # fmt: skip


@dataclass(eq=False)
class HouseService:
    """Implements edged_ipc.service.Service. `work` runs what may take long: opening, control; `looks` what
    must not wait for it."""

    house: House
    control_commands: Control
    policy: Policy
    limits: Limits
    work: ThreadPoolExecutor
    looks: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "edged:look"))
    handles: set[Handle] = field(default_factory=set)

    def rights(self, peer: Peer) -> PolicyConfig:
        return self.policy.rights(peer.uid, (peer.gid, *peer.groups))

    def hello(self, peer: Peer) -> Limits:
        rights = self.rights(peer)
        if peer.listener == "control":
            check_right(peer.uid, rights, "control", "use the control socket")
        return Limits(
            connections=self.limits.connections,
            sessions=rights.sessions,
            slots=self.limits.slots,
            memory_bytes=rights.bytes,
            in_flight=rights.in_flight,
            control_bytes=self.limits.control_bytes,
            inline_bytes=self.limits.inline_bytes,
        )

    async def open(self, peer: Peer, model: str, priority: int | None, replies: Replies) -> Opening:
        check_model(peer.uid, self.rights(peer), model)
        registry = self.house.registry
        if registry.find(model).current is not None:  # it is not kept waiting by what other models do
            session, loaded = registry.opened(model, [])
        else:
            loop = asyncio.get_running_loop()
            session, loaded = await loop.run_in_executor(self.work, registry.opened, model, [])
        if priority is not None:
            session.priority = priority
        handle = Handle(peer, model, session, replies)
        self.handles.add(handle)
        return Opening(
            handle=handle,
            version=loaded.version,
            inputs=tuple(map(spec, loaded.input_names, loaded.graph.inputs)),
            outputs=tuple(map(spec, loaded.output_names, loaded.graph.outputs)),
            stateful=loaded.stateful,
        )

    def attach(self, handle: Handle, slots: list[memoryview]) -> None:
        handle.session.add_slots(slots)

    def infer(
        self, handle: Handle, request: int, slot: int, priority: int | None, deadline: float | None
    ) -> Request:
        until = NEVER if deadline is None else monotonic() + deadline
        return self.house.registry.submit(handle.session, request, slot, handle.ended, priority, until)

    def cancel(self, handle: Handle, ticket: Request) -> None:
        ticket.cancelled = True

    def reset(self, handle: Handle) -> None:
        handle.session.reset()

    def close(self, handle: Handle) -> None:
        self.handles.discard(handle)
        handle.session.drop_slots()
        self.house.registry.close(handle.session)

    async def control(self, peer: Peer, name: str, body: Any, push: Callable[[str, Any], None]) -> Any:
        if name in COMMANDS:
            check_right(peer.uid, self.rights(peer), COMMANDS[name][0], f"ask for {name!r}")
        loop = asyncio.get_running_loop()
        arguments = body if isinstance(body, dict) else {}
        threads = self.looks if name in LOOKS else self.work
        return await loop.run_in_executor(threads, run, self.control_commands, name, arguments)

    def clients(self) -> list[dict[str, Any]]:
        """Open sessions, for `edged ps`."""
        return [
            {
                "pid": handle.peer.pid,
                "uid": handle.peer.uid,
                "model": handle.model,
                "slots": len(handle.session.slots),
                "in_flight": sum(handle.session.busy),
            }
            for handle in list(self.handles)
        ]


def spec(name: str, tensor: Tensor) -> TensorSpec:
    """What a client has to know of a tensor; the server adds where it lies."""
    quantization = tensor.quantization
    return TensorSpec(
        name=name,
        dtype=str(tensor.dtype),
        shape=tensor.shape,
        nbytes=tensor.nbytes,
        scales=quantization.scales if quantization else (),
        zero_points=quantization.zero_points if quantization else (),
        axis=quantization.axis if quantization else 0,
    )
