"""A backend in a process of its own, seen from the daemon: the same interface, and a crash or a hang is a
BackendError.

A hang past `limit` kills the child. The next probe starts another; delegates of a child that has died stay
dead, and what used them is placed and prepared anew.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from edged.backend import (
    Backend,
    Cost,
    Delegate,
    Link,
    PrepareContext,
    RunContext,
    Subgraph,
    Support,
)
from edged.config import Config
from edged.errors import BackendError, UnsupportedError
from edged.graph.model import Graph, Node
from edged.runtime import transport
from edged.runtime.errors import HungError
from edged_ipc.layout import slot_layout

START_LIMIT = 30.0
PREPARE_LIMIT = 120.0
WEIGH_EVERY = 8
"""Runs between two looks at a child's memory."""
_KINDS = {"UnsupportedError": UnsupportedError, "HungError": HungError}


@dataclass(slots=True)
class IsolationCounters:
    """What has happened to the children of one backend."""

    starts: int = 0
    crashes: int = 0
    kills: int = 0
    leaks: int = 0


@cache
def _spawner() -> ThreadPoolExecutor:
    """The one thread that starts children: they ask to die with their parent, which for Linux is the
    thread."""
    return ThreadPoolExecutor(1, "edged:spawn")


def _spawn(command: list[str], fd: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, pass_fds=[fd], stdin=subprocess.DEVNULL)


class Process:
    """One child: its socket, and the messages in turn. Not restarted; IsolatedBackend makes another."""

    def __init__(self, name: str, config: Config) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "edged.runtime.child", str(theirs.fileno()), name]
        self.child = _spawner().submit(_spawn, command, theirs.fileno()).result()
        theirs.close()
        self.sock = ours
        self.turn = threading.Lock()
        self.alive = True
        try:
            transport.send(ours, transport.dump(config), timeout=START_LIMIT)
            self.hello = self._reply(START_LIMIT)
        except transport.ClosedError:
            raise BackendError(f"{name}: {self.end()}") from None
        except transport.SlowError as error:
            self.end(kill=True)
            raise HungError(f"{name}: the child process did not start: {error}") from None
        except BackendError:
            self.end()
            raise

    def call(self, limit: float, name: str, *arguments: object, fd: int | None = None) -> Any:
        """One message, with a file descriptor if `fd`, and its answer.

        HungError after `limit` seconds (the child is killed), BackendError when it crashed.
        """
        with self.turn:
            if not self.alive:
                raise BackendError("the child process has ended")
            try:
                transport.send(self.sock, transport.dump((name, *arguments)), fd, limit)
                return self._reply(limit)
            except transport.ClosedError:
                raise BackendError(self.end()) from None
            except transport.SlowError:
                self.end(kill=True)
                raise HungError(
                    f"no answer to {name} within {limit:.1f} s: the child process was killed"
                ) from None

    def _reply(self, limit: float) -> Any:
        body = transport.receive(self.sock, transport.MAX_REPLY, limit)
        try:
            reply = transport.DECODE(body)
        except msgspec.MsgspecError as error:
            self.end(kill=True)
            raise BackendError(
                f"the child process sent something that is no answer ({error}): it was killed"
            ) from None
        if reply.error:
            raise _KINDS.get(reply.kind, BackendError)(reply.error)
        return reply.value

    def resident_bytes(self) -> int:
        """The child's resident memory; 0 when it has gone."""
        try:
            with open(f"/proc/{self.child.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0

    def end(self, *, kill: bool = False) -> str:
        """Closes the connection, waits for the child, and says how it ended."""
        self.alive = False
        self.sock.close()
        if kill:
            self.child.kill()
        try:
            code = self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            code = self.child.wait()
        if code < 0:
            return f"the child process was ended by {signal.Signals(-code).name}"
        return f"the child process ended with status {code}"


@dataclass(slots=True)
class _State:
    """A state object that lives in the child. When nobody holds it any more, its number goes to `gone`."""

    number: int
    gone: deque[int]

    def __del__(self) -> None:
        self.gone.append(self.number)


class IsolatedDelegate(Delegate):
    """A delegate in the child; tensors go through memory that both map."""

    def __init__(
        self, owner: IsolatedBackend, process: Process, context: PrepareContext, subgraph: Subgraph
    ) -> None:
        self.owner, self.process, self.key = owner, process, next(owner.keys)
        self.inputs, self.outputs = subgraph.graph.inputs, subgraph.graph.outputs
        self._gone: deque[int] = deque()
        tensors = (*self.inputs, *self.outputs)
        layout = slot_layout([t.nbytes for t in tensors])
        fd = os.memfd_create("edged-delegate", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, max(layout.size, 1))
            self.memory = memoryview(mmap.mmap(fd, max(layout.size, 1)))
            plain = PrepareContext(
                context.threads, context.max_arena_bytes, context.cache_dir, dict(context.options)
            )
            facts = process.call(PREPARE_LIMIT, "prepare", self.key, plain, subgraph, fd=fd)
        finally:
            os.close(fd)
        self.resident, self.lines = int(facts[0]), [str(line) for line in facts[1]]
        self.left = {str(where): str(why) for where, why in facts[2].items()}
        views = [self.memory[at : at + t.nbytes] for at, t in zip(layout.offsets, tensors, strict=True)]
        self._in, self._out = views[: len(self.inputs)], views[len(self.inputs) :]

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        for source, target in zip(inputs, self._in, strict=True):
            target[:] = source
        number = ctx.state.number if isinstance(ctx.state, _State) else -1
        self.owner.call(self.process, "run", self.key, number, ctx.request)
        self.owner.weigh(self.process)
        for source, target in zip(self._out, outputs, strict=True):
            target[:] = source

    def new_state(self) -> object:
        while self._gone:
            self.owner.call(self.process, "drop_state", self.key, self._gone.popleft())
        state = _State(next(self.owner.keys), self._gone)
        self.owner.call(self.process, "new_state", self.key, state.number)
        return state

    def reset(self, state: object) -> None:
        assert isinstance(state, _State)
        self.owner.call(self.process, "reset", self.key, state.number)

    def save(self, state: object) -> Mapping[str, bytes]:
        assert isinstance(state, _State)
        found: dict[str, bytes] = self.owner.call(self.process, "save", self.key, state.number)
        return found

    def restore(self, state: object, variables: Mapping[str, bytes]) -> None:
        assert isinstance(state, _State)
        self.owner.call(self.process, "restore", self.key, state.number, dict(variables))

    def resident_bytes(self) -> int:
        return self.resident + len(self.memory)

    def explain(self) -> Sequence[str]:
        return self.lines

    def fallbacks(self) -> Mapping[str, str]:
        return self.left

    def close(self) -> None:
        if self.process.alive:
            try:
                self.process.call(self.owner.limit, "close", self.key)
            except BackendError:
                return  # it died meanwhile, and took the delegate along


@dataclass(eq=False)
class IsolatedBackend(Backend):
    """The backend `name` in a child process. `limit` seconds for a run; hello and prepare have their own.

    A child that holds more than `memory_bytes` (0: no limit) is killed.
    """

    name: str
    config: Config
    limit: float
    memory_bytes: int = 0
    counters: IsolationCounters = field(default_factory=IsolationCounters)

    def __post_init__(self) -> None:
        self.keys = count(1)
        self._runs = 0
        self._survey: WeakKeyDictionary[Node, tuple[Support, bool, float]] = WeakKeyDictionary()
        self.process = self._start()

    def _start(self) -> Process:
        process = Process(self.name, self.config)
        self.counters.starts += 1
        fixed, speed = process.hello
        self.link = Link(float(fixed), float(speed) or float("inf"))
        return process

    def call(self, process: Process, name: str, *arguments: object) -> Any:
        """One message to the child that a delegate belongs to, counted when it goes wrong."""
        was = process.alive
        try:
            return process.call(self.limit, name, *arguments)
        except HungError:
            self.counters.kills += 1
            raise
        except BackendError:
            if was and not process.alive:
                self.counters.crashes += 1
            raise

    def weigh(self, process: Process) -> None:
        """After a run, now and then: kills a child that has grown past its limit. BackendError then."""
        self._runs += 1
        if not self.memory_bytes or self._runs % WEIGH_EVERY:
            return
        held = process.resident_bytes()
        if held > self.memory_bytes:
            self.counters.leaks += 1
            process.end(kill=True)
            raise BackendError(
                f"the child process held {held >> 20} MiB, memory_bytes allows {self.memory_bytes >> 20}: "
                "it was killed"
            )

    def _asked(self, node: Node) -> tuple[Support, bool, float]:
        known = self._survey.get(node)
        if known is None:
            inputs = tuple(t for t in node.inputs if t is not None and not t.constant)
            alone = Subgraph(Graph(node.where, inputs, node.outputs, (node,)), _NO_MODEL)
            ((ok, reason, claims, cost),) = self.process.call(PREPARE_LIMIT, "survey", (node,), (alone,))
            known = self._survey[node] = (Support(bool(ok), str(reason)), bool(claims), float(cost))
        return known

    def supports(self, node: Node) -> Support:
        try:
            return self._asked(node)[0]
        except BackendError as error:
            return Support(False, str(error))

    def claims(self, node: Node) -> bool:
        return bool(self.supports(node)) and self._asked(node)[1]

    def estimate(self, subgraph: Subgraph) -> Cost:
        if len(subgraph.graph.nodes) == 1:
            return Cost(self._asked(subgraph.graph.nodes[0])[2])
        microseconds, measured = self.process.call(PREPARE_LIMIT, "estimate", subgraph)
        return Cost(float(microseconds), bool(measured))

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> Delegate:
        return IsolatedDelegate(self, self.process, ctx, subgraph)

    def probe(self) -> Support:
        """Starts another child if the last one has ended, and asks it."""
        try:
            if not self.process.alive:
                self._survey.clear()
                self.process = self._start()
            ok, reason = self.process.call(self.limit, "probe")
        except BackendError as error:
            return Support(False, str(error))
        return Support(bool(ok), str(reason))

    def facts(self) -> Mapping[str, str]:
        """The child's own facts, and its process."""
        try:
            found: dict[str, str] = self.process.call(self.limit, "facts")
        except BackendError as error:
            return {"child process": str(error)}
        return {**found, "child process": str(self.process.child.pid)}

    def close(self) -> None:
        if self.process.alive:
            self.process.end()


_NO_MODEL: Any = None
