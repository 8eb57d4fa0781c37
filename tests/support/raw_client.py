"""A client that may misbehave: a socket and the client's end of a Connection, nothing more."""

from __future__ import annotations

import os
import socket
from typing import Any

from edged_ipc import messages as m
from edged_ipc import shm
from edged_ipc.connection import Connection
from edged_ipc.rules import Role


class RawClient:
    """Sends whatever it is told, and reads message by message."""

    def __init__(self, path: str, *, greet: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.connection = Connection(Role.CLIENT)
        self.next = 0
        if greet:
            self.say(m.Hello(m.PROTOCOL, m.PROTOCOL, "raw"))
            self.welcome = self.hear(m.Welcome)

    def id(self) -> int:
        self.next += 1
        return self.next

    def say(self, message: m.Message, *fds: int) -> None:
        self.send(self.connection.send(message), *fds)

    def send(self, data: bytes, *fds: int) -> None:
        """Raw bytes, with file descriptors beside their first."""
        if fds:
            data = data[socket.send_fds(self.sock, [data], list(fds)) :]
        self.sock.sendall(data)

    def hear(self, kind: type[m.Message] | None = None) -> Any:
        """The next message; None at the end of the connection."""
        while (message := self.connection.next_event()) is None:
            data = self.sock.recv(1 << 16)
            if not data:
                assert kind is None, f"the connection ended, {kind} was expected"
                return None
            self.connection.receive_data(data)
        assert kind is None or isinstance(message, kind), message
        return message

    def open(self, model: str, slots: int = 1, *, inline: bool = False) -> m.Opened:
        """Opens and attaches."""
        self.say(m.Open(self.id(), model, slots, inline))
        opened: m.Opened = self.hear(m.Opened)
        if not inline:
            nbytes = slots * opened.slot_bytes
            fd = shm.create(nbytes)
            self.memory = shm.map_own(fd, nbytes)
            self.say(m.Attach(self.id(), opened.session, slots, nbytes), fd)
            os.close(fd)
            self.hear(m.Ack)
        return opened

    def infer(self, session: int, slot: int = 0, **options: int) -> int:
        """Sends an Infer; its request id."""
        request = self.id()
        self.say(m.Infer(request, session, slot, **options))
        return request

    def close(self) -> None:
        self.sock.close()

    def __del__(self) -> None:
        self.sock.close()
