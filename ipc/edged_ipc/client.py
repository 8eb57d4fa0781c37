"""The blocking client. `connect()` finds the daemon; `client.open(name)` gives a model to call.

    client = edged_ipc.connect()
    model = client.open("kws")
    outputs = model(samples)

Threads may share a client and its models. A client that has lost its daemon looks for it again at the next
call, opens its sessions anew, and never repeats a request that may have been run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import RLock
from time import monotonic, sleep
from types import TracebackType
from typing import Any
from weakref import WeakSet

from edged_ipc import messages as m
from edged_ipc.channel import Channel
from edged_ipc.dialing import dial
from edged_ipc.errors import NotConnectedError, ShuttingDownError
from edged_ipc.model import Model

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5
SPIN = 1e-4
"""Seconds that a waiting thread looks for its answer before it sleeps, as long as that tends to help."""


def default_paths() -> list[str]:
    """Where a daemon may listen: $EDGED_SOCKET alone if set, else the system's and then the user's own."""
    chosen = os.environ.get("EDGED_SOCKET")
    if chosen:
        return [chosen]
    paths = ["/run/edged/edged.sock"]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        paths.append(f"{runtime}/edged/edged.sock")
    return paths


def program_name() -> str:
    """What the daemon's log calls this process unless it says otherwise."""
    name = os.path.basename(sys.argv[0]).encode("utf-8", "replace").decode() or "python"
    return f"{name}[{os.getpid()}]"


def find(path: str | os.PathLike[str] | None) -> str:
    """The socket to use: `path`, or the first of the usual ones that is there."""
    if path is not None:
        return os.fspath(path)
    paths = default_paths()
    return next((p for p in paths if Path(p).exists()), paths[0])


_CLIENTS: WeakSet[Client] = WeakSet()
"""Told of a fork: a child that went on with its parent's connection would mix up both's answers."""


def _forked() -> None:
    for client in _CLIENTS:
        client.abandon()


os.register_at_fork(after_in_child=_forked)


class Client:
    """A connection to the daemon. `timeout` bounds connecting; `patience` is how long a lost daemon is waited
    for, in seconds."""

    def __init__(
        self,
        path: str,
        *,
        inline: bool = False,
        name: str = "",
        timeout: float = 5.0,
        patience: float = 10.0,
        spin: float = SPIN,
    ) -> None:
        self.path = path
        self.inline = inline
        self._name = name or program_name()
        self._timeout = timeout
        self._patience = patience
        self._spin = spin
        self._lock = RLock()
        self._models: list[Model] = []
        self._closed = False
        sock = dial(path, timeout)  # nobody there is an error at once; one that is just going is waited for
        try:
            self._channel = Channel(sock, self._name, timeout, spin)
        except (NotConnectedError, ShuttingDownError):
            self._channel = self._dial_again()
        _CLIENTS.add(self)

    @property
    def server(self) -> str:
        """The daemon's name and version."""
        return self._channel.welcome.server

    @property
    def boot(self) -> str:
        """A mark that changes when the daemon starts anew."""
        return self._channel.welcome.boot

    @property
    def limits(self) -> m.Limits:
        """What this user may do at most."""
        return self._channel.welcome.limits

    def open(self, model: str, *, slots: int = 1, priority: int | None = None) -> Model:
        """Opens a session on a model. `slots` are made at once, more of them when they are needed (but not
        inline); `priority` is that of requests which name none."""
        opened = Model(self, model, max(slots, 1), priority)
        self._models.append(opened)
        return opened

    def control(
        self, name: str, body: Any = None, *, on_event: Callable[[str, Any], None] | None = None
    ) -> Any:
        """Has the daemon do something by name (`status`, `load`, ...). `on_event` gets what it tells on the
        way."""
        channel = self.channel()
        reply: m.Reply = channel.ask(m.Control(channel.next_id(), name, body), on_event=on_event)
        return reply.body

    def channel(self) -> Channel:
        """The living connection; a new one when it was lost. NotConnectedError when no daemon comes back
        within `patience`."""
        with self._lock:
            if self._closed:
                raise NotConnectedError("this client was closed", remedy="connect again")
            if self._channel.dead is not None:
                self._channel.close()
                self._channel = self._dial_again()
            return self._channel

    def _dial_again(self) -> Channel:
        deadline, pause = monotonic() + self._patience, FIRST_PAUSE
        while True:
            try:
                return Channel(dial(self.path, self._timeout), self._name, self._timeout, self._spin)
            except (NotConnectedError, ShuttingDownError):
                if monotonic() + pause > deadline:
                    raise
            sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def forget(self, model: Model) -> None:
        """A model was closed."""
        if model in self._models:
            self._models.remove(model)

    def abandon(self) -> None:
        """In a forked process: connects anew at the next call, and leaves the parent's connection alone."""
        self._lock = RLock()
        self._channel.abandon()
        for model in self._models:
            model.abandon()

    def close(self) -> None:
        """Hangs up. The daemon cancels what is under way and ends the sessions."""
        with self._lock:
            self._closed = True
            self._channel.close()
        for model in tuple(self._models):
            model.pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(
    path: str | os.PathLike[str] | None = None,
    *,
    inline: bool = False,
    name: str = "",
    timeout: float = 5.0,
    patience: float = 10.0,
    spin: float = SPIN,
) -> Client:
    """Connects to the daemon at `path`: by default $EDGED_SOCKET, /run/edged/edged.sock, or
    $XDG_RUNTIME_DIR/edged/edged.sock.

    `inline` sends tensors through the socket, for where file descriptors cannot be passed. `spin` is for how
    many seconds a waiting thread looks for its answer before it sleeps, which saves tens of microseconds
    where client and daemon are on different cores; it is left out while it is in vain, and 0 turns it off.
    NotConnectedError when nobody is there.
    """
    return Client(find(path), inline=inline, name=name, timeout=timeout, patience=patience, spin=spin)
