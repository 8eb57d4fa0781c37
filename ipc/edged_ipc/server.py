"""The daemon's side of the sockets: accepts, counts, drives a `Service`. One thread polls all connections.

What it promises whatever clients do: it never blocks on one of them, keeps a bounded amount of bytes,
descriptors and requests for each, answers every request it has read exactly once, and touches no memory that
a client could take away.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from weakref import ref

from edged_ipc import messages as m
from edged_ipc.codes import Code
from edged_ipc.errors import QuotaExceededError
from edged_ipc.listening import peer_of
from edged_ipc.poll import IN, Poll
from edged_ipc.quota import Ledger
from edged_ipc.rules import State
from edged_ipc.served import Served
from edged_ipc.service import Peer, Service
from edged_ipc.wire import encode

Report = Callable[[str, BaseException | None], None]


@dataclass(frozen=True, slots=True)
class ClientRow:
    """One connection, as `Server.clients` tells of it."""

    peer: Peer
    client: str
    models: tuple[str, ...]
    under_way: int
    memory_bytes: int
    unsent_bytes: int


class Server:
    """`loop` runs the service's coroutines. `report` gets what goes wrong here, with the exception if there
    was one; it is called on any thread.

    `connections` in total and `user_connections` per user are taken before anybody has said Hello; the
    service's limits hold after it.
    """

    def __init__(
        self,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        report: Report,
        *,
        name: str = "edged",
        connections: int = 256,
        user_connections: int = 256,
        hello_seconds: float = 5.0,
        unsent_bytes: int = 1 << 20,
        unread_seconds: float = 10.0,
    ) -> None:
        self.service = service
        self.loop = loop
        self.report = report
        self.name = name
        self.boot = secrets.token_hex(8)
        self.unsent_bytes = unsent_bytes
        self.unread_seconds = unread_seconds
        self.poll = Poll(report)
        self.ledger = Ledger()
        self.served: set[Served] = set()
        self.dropped_count = 0
        self._most = connections, user_connections
        self._hello_seconds = hello_seconds
        self._listening: list[socket.socket] = []
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._drained = threading.Event()
        self.draining = False
        self._looking = False
        self.stopping = False
        self._stopped = False
        self._ending: set[Served] = set()
        self._thread = threading.Thread(target=self.poll.run, name="edged:ipc", daemon=True)

    # ---- from any thread ----

    def listen(self, sock: socket.socket, name: str) -> None:
        """Accepts on a listening socket from now on; `name` is what its peers' `listener` says."""
        sock.setblocking(False)
        self.poll.post(partial(self._listen, sock, name))

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Takes no new connection and reads no further request; waits for those under way. True when all of
        them were answered in time."""
        self.poll.post(self._drain)
        return self._drained.wait(seconds)

    def stop(self) -> None:
        """Says goodbye to everybody and ends. Requests under way are answered with UNKNOWN_OUTCOME; what was
        not read is told to have not been run."""
        if self._stopped:
            return
        self._stopped = True
        self.poll.post(self._stop)
        self.poll.stop()
        if self._thread.ident is not None:
            self._thread.join()
        for sock in self._listening:
            sock.close()
        os.close(self._spare)

    def clients(self) -> list[ClientRow]:
        """Who is connected."""
        return [
            ClientRow(
                peer=s.peer,
                client=s.client,
                models=tuple(t.model for t in list(s.sessions.tables.values())),
                under_way=s.sessions.under_way,
                memory_bytes=sum(t.memory_bytes for t in list(s.sessions.tables.values())),
                unsent_bytes=s.outbox.unsent,
            )
            for s in list(self.served)
        ]

    # ---- on the polling thread ----

    def _listen(self, sock: socket.socket, name: str) -> None:
        self._listening.append(sock)
        self.poll.add(sock.fileno(), IN, lambda _mask: self._accept(sock, name))

    def _accept(self, listening: socket.socket, name: str) -> None:
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            return
        except OSError as error:
            return self._turn_away(listening, error)
        try:
            peer = peer_of(sock, name)
            self._count(peer)
        except (OSError, QuotaExceededError) as error:
            with suppress(OSError):
                text = str(error)
                sock.send(
                    encode(m.Goodbye(int(Code.QUOTA_EXCEEDED), text)),
                    socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL,
                )
            sock.close()
            return
        served = Served(self, sock, peer, self.ledger.account(peer.uid))
        self.served.add(served)
        self.poll.add(sock.fileno(), IN, served.ready)
        waiting = ref(served)  # who has gone by then is not kept until then
        self.poll.later(self._hello_seconds, partial(self._greeted, waiting))

    def _count(self, peer: Peer) -> None:
        most, most_of_user = self._most
        if len(self.served) >= most:
            raise QuotaExceededError(
                f"the daemon has {most} connections", remedy="close some, or raise `connections`"
            )
        self.ledger.account(peer.uid).take("connections", 1, most_of_user)

    def _turn_away(self, listening: socket.socket, error: OSError) -> None:
        """No descriptor is left to accept with: the spare one takes the client off the queue, so that it
        hears of it and this thread does not spin."""
        os.close(self._spare)
        try:
            with suppress(OSError):
                listening.accept()[0].close()
        finally:
            self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self.report("a connection could not be accepted", error)

    def _greeted(self, waiting: ref[Served]) -> None:
        served = waiting()
        if served is not None and not served.gone and served.connection.state is not State.OPEN:
            served.goodbye(Code.BAD_FRAME, f"no Hello within {self._hello_seconds:g} s")

    def dropped(self, served: Served, why: str) -> None:
        """A connection has ended; its sessions may still have requests under way."""
        self.served.discard(served)
        self.dropped_count += 1
        served.account.give("connections", 1)
        if served.sessions.tables:
            self._ending.add(served)
        self.settled(served)

    def settled(self, served: Served) -> None:
        """A session of `served` has ended."""
        if served.gone and not served.sessions.tables:
            self._ending.discard(served)
            self.ledger.forget_idle(served.peer.uid)
        if self.draining:
            self._look_if_drained()

    def _drain(self) -> None:
        if self.draining:
            return
        self.draining = True
        for sock in self._listening:
            self.poll.remove(sock.fileno())
        for served in self.served:
            served.outbox.stop_reading()
        self._look_if_drained()

    def _look_if_drained(self) -> None:
        waiting = any(s.sessions.under_way or s.tasks or s.outbox.unsent for s in self.served)
        if not waiting and not any(s.sessions.under_way for s in self._ending):
            self._drained.set()
        elif not self._looking:  # one look is due at a time, however many sessions end meanwhile
            self._looking = True
            self.poll.later(0.005, self._look_again)

    def _look_again(self) -> None:
        self._looking = False
        self._look_if_drained()

    def _stop(self) -> None:
        self._drain()
        self.stopping = True
        for served in list(self.served):
            served.give_up()
            text = "the daemon is stopping; what has no answer was not run"
            served.goodbye(Code.SHUTTING_DOWN, text, "send it again")
