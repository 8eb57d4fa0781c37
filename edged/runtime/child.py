"""The process that an isolated backend lives in: `python -m edged.runtime.child FD NAME`.

It opens one backend, found by its entry-point name, and does what the daemon's messages say, one after
another. It dies with the daemon.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edged.backend import Backend, Delegate, PrepareContext, RunContext, Subgraph
from edged.config import Config
from edged.errors import EdgedError
from edged.runtime import transport
from edged_ipc.layout import slot_layout

_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class _Prepared:
    """A delegate and its shared memory: inputs, then outputs, as the daemon lays them out too."""

    delegate: Delegate
    inputs: list[memoryview]
    outputs: list[memoryview]
    states: dict[int, object]


class Child:
    """Answers to the messages; every method of the table returns plain values."""

    def __init__(self, backend: Backend, sock: socket.socket) -> None:
        self.backend = backend
        self._sock = sock
        self.prepared: dict[int, _Prepared] = {}

    def hello(self) -> Any:
        link = self.backend.link
        return [link.fixed_us, link.bytes_per_us if link.bytes_per_us != float("inf") else 0.0]

    def probe(self) -> Any:
        support = self.backend.probe()
        return [support.ok, support.reason]

    def facts(self) -> Any:
        return dict(self.backend.facts())

    def survey(self, nodes: tuple[Any, ...], subgraphs: tuple[Subgraph, ...]) -> Any:
        """supports, claims and estimate of several nodes at once."""
        rows = []
        for node, alone in zip(nodes, subgraphs, strict=True):
            support = self.backend.supports(node)
            cost = self.backend.estimate(alone).microseconds if support else 0.0
            rows.append([support.ok, support.reason, self.backend.claims(node), cost])
        return rows

    def estimate(self, subgraph: Subgraph) -> Any:
        cost = self.backend.estimate(subgraph)
        return [cost.microseconds, cost.measured]

    def prepare(self, key: int, context: PrepareContext, subgraph: Subgraph) -> Any:
        tensors = (*subgraph.graph.inputs, *subgraph.graph.outputs)
        layout = slot_layout([t.nbytes for t in tensors])
        fd = transport.receive_fd(self._sock)
        try:
            memory = memoryview(mmap.mmap(fd, max(layout.size, 1)))
        finally:
            os.close(fd)
        delegate = self.backend.prepare(context, subgraph)
        views = [memory[at : at + t.nbytes] for at, t in zip(layout.offsets, tensors, strict=True)]
        count = len(subgraph.graph.inputs)
        self.prepared[key] = _Prepared(delegate, views[:count], views[count:], {})
        return [delegate.resident_bytes(), list(delegate.explain()), dict(delegate.fallbacks())]

    def new_state(self, key: int, state: int) -> Any:
        self.prepared[key].states[state] = self.prepared[key].delegate.new_state()

    def states(self, key: int) -> Any:
        """Numbers of the states that are there."""
        return list(self.prepared[key].states)

    def drop_state(self, key: int, state: int) -> Any:
        self.prepared[key].states.pop(state, None)

    def run(self, key: int, state: int, request: int) -> Any:
        it = self.prepared[key]
        it.delegate.run(RunContext(request, it.states.get(state)), it.inputs, it.outputs)

    def reset(self, key: int, state: int) -> Any:
        self.prepared[key].delegate.reset(self.prepared[key].states[state])

    def save(self, key: int, state: int) -> Any:
        return dict(self.prepared[key].delegate.save(self.prepared[key].states[state]))

    def restore(self, key: int, state: int, variables: dict[str, bytes]) -> Any:
        self.prepared[key].delegate.restore(self.prepared[key].states[state], variables)

    def close(self, key: int) -> Any:
        found = self.prepared.pop(key, None)
        if found is not None:
            found.delegate.close()


MESSAGES = frozenset(name for name in vars(Child) if not name.startswith("_"))


def answer(child: Child, body: bytes) -> bytes:
    """The reply to one message; a failure of the backend is a reply, not the end."""
    name, *arguments = pickle.loads(body)
    try:
        assert name in MESSAGES
        method: Callable[..., Any] = getattr(child, name)
        return transport.ENCODE(transport.Reply(value=method(*arguments)))
    except EdgedError as error:
        return transport.ENCODE(transport.Reply(error=str(error), kind=type(error).__name__))
    except Exception as error:
        return transport.ENCODE(
            transport.Reply(error=f"{type(error).__name__}: {error}", kind=type(error).__name__)
        )


def open_backend(name: str, config: Config) -> Backend:
    """The backend of that name, through the same entry points as in the daemon."""
    from edged import plugins

    found = plugins.load(config)
    if name not in found.backends:
        reasons = "; ".join(f"{b.name}: {b.reason}" for b in found.broken)
        raise EdgedError(f"no backend {name!r} in the child process ({reasons or 'it was not registered'})")
    return found.backends[name].open()


def main(fd: int, name: str) -> None:
    """Serves until the daemon closes the connection."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=fd) as sock:
        _serve(sock, name)


def _serve(sock: socket.socket, name: str) -> None:
    config = pickle.loads(transport.receive(sock, 1 << 20))
    try:
        child = Child(open_backend(name, config), sock)
    except Exception as error:
        transport.send(sock, transport.ENCODE(transport.Reply(error=str(error), kind=type(error).__name__)))
        return
    transport.send(sock, transport.ENCODE(transport.Reply(value=child.hello())))
    while True:
        try:
            body = transport.receive(sock, 1 << 32)
        except transport.ClosedError:
            return
        transport.send(sock, answer(child, body))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
