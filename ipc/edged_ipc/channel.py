"""The blocking way to the daemon: a socket, a Connection, and threads that wait for answers.

Whichever thread waits reads for all: it hands out the answers of others as they come, and the reading to one
of them when it has its own. One thread alone pays nothing for that.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from os import sched_yield
from threading import Lock
from time import monotonic
from typing import Any

from edged_ipc import messages as m
from edged_ipc.connection import Connection
from edged_ipc.dialing import lost
from edged_ipc.errors import (
    IpcError,
    LocalProtocolError,
    NotConnectedError,
    RemoteProtocolError,
    from_wire,
)
from edged_ipc.messages import Message
from edged_ipc.rules import Role

_READ = 1 << 12
_MOST_SKIPPED = 64
_DONTWAIT = int(socket.MSG_DONTWAIT)


class Answer:
    """What comes of one request: a message, or the error that stands for it."""

    __slots__ = ("error", "message", "on_event", "settled", "waiter")

    def __init__(self, on_event: Callable[[str, Any], None] | None = None) -> None:
        self.message: Any = None
        self.error: IpcError | None = None
        self.settled = False
        self.waiter: Any = None
        self.on_event = on_event

    def settle(self, message: Any, error: IpcError | None) -> None:
        self.message = message
        self.error = error
        self.settled = True
        waiter = self.waiter
        if waiter is not None:
            wake(waiter)

    def get(self) -> Any:
        """The message; raises the error."""
        if self.error is not None:
            raise self.error
        return self.message


def wake(waiter: Any) -> None:
    """Lets a thread that waits in acquire() go on; it may have been let go already."""
    with suppress(RuntimeError):
        waiter.release()


class Channel:
    """One connection, from Hello to its end. Any thread may `post` and `wait`."""

    def __init__(self, sock: socket.socket, client: str, timeout: float, spin: float = 0.0) -> None:
        self._sock = sock
        self._spin_seconds = spin
        self._skip = 0
        self._penalty = 1
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._connection = Connection(Role.CLIENT)
        self._waiting: dict[int, Answer] = {}
        self._writing = Lock()
        self._reading = Lock()
        self._queue: list[Any] = []
        self._ids = count(1)
        self._goodbye: m.Goodbye | None = None
        self.dead: IpcError | None = None
        self.next_id = self._ids.__next__
        try:
            self.welcome = self._greet(client, timeout)
        except OSError as error:
            sock.close()
            raise NotConnectedError(f"edged hung up: {error.strerror}", remedy="see its log") from None
        except BaseException:
            sock.close()
            raise

    def _greet(self, client: str, timeout: float) -> m.Welcome:
        self._sock.sendall(self._connection.send(m.Hello(m.PROTOCOL, m.PROTOCOL, client)))
        deadline = monotonic() + timeout
        while (message := self._connection.next_event()) is None:
            if not self._poll.poll(max(deadline - monotonic(), 0) * 1e3):
                raise NotConnectedError(f"edged did not answer within {timeout:g} s", remedy="see its log")
            data = self._sock.recv(_READ)
            if not data:
                raise NotConnectedError("edged closed the connection at once", remedy="see its log")
            self._connection.receive_data(data)
        if isinstance(message, m.Goodbye):
            raise from_wire(message.code, message.message, message.remedy)
        assert isinstance(message, m.Welcome)
        return message

    def post(self, message: Message, answer: Answer, fd: int = -1) -> None:
        """Sends a request whose id is of `next_id`; its answer will go to `answer`."""
        request: int = message.request  # type: ignore[attr-defined]
        self._waiting[request] = answer
        begun = False
        try:
            data = self._connection.send(message)
            with self._writing:
                begun = True
                if fd >= 0:
                    sent = socket.send_fds(self._sock, [data], [fd])
                    data = data[sent:]
                self._sock.sendall(data)
        except (LocalProtocolError, OSError) as error:
            unsent = self._waiting.pop(request, None) is not None
            if isinstance(error, LocalProtocolError) and self.dead is None:
                raise
            self._read_last()
            if unsent:  # else settled already, by whoever noticed the end first
                answer.settle(None, NotConnectedError("edged has gone; this request was not sent"))
        except BaseException:  # KeyboardInterrupt, or what else a signal's handler raises
            self._interrupted(request, begun)
            raise

    def _interrupted(self, request: int, begun: bool) -> None:
        """Nobody knows how much of a frame went out that was `begun`: nothing may follow it."""
        if begun:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            return
        answer = self._waiting.pop(request, None)
        if answer is not None:
            answer.settle(None, NotConnectedError("this request was interrupted before it was sent"))

    def _read_last(self) -> None:
        """The daemon takes nothing more: reads what it said before it went."""
        with self._reading:
            while self.dead is None:
                self._receive(None)
        self._hand_over()

    def tell(self, message: Message) -> None:
        """Sends what has no answer (Cancel)."""
        try:
            data = self._connection.send(message)
            with self._writing:
                self._sock.sendall(data)
        except (LocalProtocolError, OSError):
            return  # the connection has ended, and whoever waits hears of it

    def ask(self, message: Message, fd: int = -1, on_event: Callable[[str, Any], None] | None = None) -> Any:
        """Sends a request and waits for its answer; raises what it was refused with."""
        answer = Answer(on_event)
        self.post(message, answer, fd)
        self.wait(answer)
        return answer.get()

    def wait(self, answer: Answer, timeout: float | None = None) -> bool:
        """Until `answer` is settled; False when that takes longer than `timeout` seconds."""
        deadline = None if timeout is None else monotonic() + timeout
        while not answer.settled:
            if self._reading.acquire(blocking=False):
                try:
                    while not answer.settled:
                        if not self._receive(deadline):
                            return False
                finally:
                    self._reading.release()
                    self._hand_over()
            elif not self._stand_by(answer, deadline):
                return False
        return True

    def _stand_by(self, answer: Answer, deadline: float | None) -> bool:
        """Waits while another thread reads: for the answer, or for the reading."""
        waiter = Lock()
        waiter.acquire()
        answer.waiter = waiter
        self._queue.append(waiter)
        if answer.settled or not self._reading.locked():
            wake(waiter)  # it was settled, or the reader has left, before it could see us
        left = -1.0 if deadline is None else max(deadline - monotonic(), 0.0)
        got = wanted = False
        try:
            got = waiter.acquire(timeout=left)
            wanted = got and not answer.settled
        finally:  # also when a signal's handler raises
            answer.waiter = None
            try:
                self._queue.remove(waiter)
            except ValueError:
                if not wanted:
                    self._hand_over()  # the reading was offered to us: pass it on
        return got or answer.settled

    def _hand_over(self) -> None:
        """Lets one of the waiting threads read."""
        if self._queue:
            with suppress(IndexError):
                wake(self._queue.pop(0))

    def _receive(self, deadline: float | None) -> bool:
        """Reads once and settles what came. False when `deadline` passes first."""
        connection = self._connection
        if self.dead is not None:
            self._end(self.dead)
            return True
        try:
            count = self._watch() if self._spin_seconds else -1
            if count < 0:
                if deadline is not None and not self._poll.poll(max(deadline - monotonic(), 0.0) * 1e3):
                    return False
                count = self._sock.recv_into(connection.room(_READ))
            if not count:
                self._end(NotConnectedError("edged has closed the connection"))
                return True
            connection.arrived(count)
            while (message := connection.next_event()) is not None:
                self._take(message)
        except OSError as error:
            self._end(NotConnectedError(f"edged has gone: {error.strerror}"))
        except RemoteProtocolError as error:
            self._end(error)
        return True

    def _watch(self) -> int:
        """Looks for bytes for a while before going to sleep; how many were read, -1 for none.

        Falling asleep and being woken on another core costs tens of microseconds. Looking costs processor
        time, so it gives way to whoever wants the core, and when it was in vain it is left out for the next
        times, more and more of them.
        """
        if self._skip:
            self._skip -= 1
            return -1
        room, receive = self._connection.room(_READ), self._sock.recv_into
        end = monotonic() + self._spin_seconds
        while True:
            try:
                count = receive(room, 0, _DONTWAIT)
                self._penalty = 1
                return count
            except BlockingIOError:
                sched_yield()
            if monotonic() >= end:
                self._skip = self._penalty = min(2 * self._penalty, _MOST_SKIPPED)
                return -1

    def _take(self, message: Message) -> None:
        if type(message) is m.Goodbye:
            self._goodbye = message
            return self._end(NotConnectedError(message.message, remedy=message.remedy))
        request: int = message.request  # type: ignore[attr-defined]
        if type(message) is m.Event:
            answer = self._waiting.get(request)
            if answer is not None and answer.on_event is not None:
                answer.on_event(message.name, message.body)
            return
        answer = self._waiting.pop(request, None)
        if answer is None:
            return
        if type(message) is m.Failed:
            answer.settle(None, from_wire(message.code, message.message, message.remedy))
        else:
            answer.settle(message, None)

    def _end(self, error: IpcError) -> None:
        """The connection is lost: everybody who waits is told."""
        self.dead = error
        while self._waiting:
            try:
                _, answer = self._waiting.popitem()
            except KeyError:
                break
            answer.settle(None, lost(self._goodbye, error))

    def abandon(self) -> None:
        """In a forked process: the connection is the parent's, and is not to be disturbed."""
        self.dead = NotConnectedError("this process was forked; the connection is its parent's")
        self._reading, self._writing, self._queue = Lock(), Lock(), []
        self._sock.close()

    def close(self) -> None:
        """Hangs up. Requests under way are cancelled by the daemon."""
        self.dead = self.dead or NotConnectedError("this client was closed")
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that reads
        self._end(self.dead)
        self._sock.close()
