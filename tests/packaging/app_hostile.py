"""An app in the container that breaks the rules of the socket, one after another; prints a line for each that was refused as it should.

Memory that is no sealed memfd, more file descriptors than one, half a frame with a huge length, answers never read, more sessions than the quota.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile

from edged_ipc import connect, shm
from edged_ipc import messages as m
from edged_ipc.codes import Code
from edged_ipc.connection import Connection
from edged_ipc.errors import QuotaExceededError
from edged_ipc.rules import Role
from edged_ipc.wire import encode

PATH = "/run/edged/edged.sock"


class Raw:
    """A socket and the client's end of a Connection."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(PATH)
        self.connection = Connection(Role.CLIENT)
        self.say(m.Hello(m.PROTOCOL, m.PROTOCOL, "hostile"))
        self.hear()

    def say(self, message: m.Message, *fds: int) -> None:
        data = self.connection.send(message)
        sent = socket.send_fds(self.sock, [data], list(fds)) if fds else 0
        self.sock.sendall(data[sent:])

    def hear(self) -> m.Message | None:
        while (message := self.connection.next_event()) is None:
            data = self.sock.recv(1 << 16)
            if not data:
                return None
            self.connection.receive_data(data)
        return message


def attach(fds: list[int]) -> m.Message | None:
    client = Raw()
    client.say(m.Open(1, "digits", 1, False))
    opened = client.hear()
    assert isinstance(opened, m.Opened), opened
    client.say(m.Attach(2, opened.session, 1, opened.slot_bytes), *fds)
    return client.hear()


def plain_file() -> None:
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        answer = attach([file.fileno()])
    assert isinstance(answer, m.Failed), answer
    assert answer.code == Code.BAD_SLOT, answer


def unsealed_memfd() -> None:
    fd = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 4096)
    answer = attach([fd])
    os.close(fd)
    assert isinstance(answer, m.Failed), answer
    assert answer.code == Code.BAD_SLOT, answer


def many_descriptors() -> None:
    fds = [shm.create(4096) for _ in range(20)]
    answer = attach(fds)
    for fd in fds:
        os.close(fd)
    assert isinstance(answer, m.Failed | m.Goodbye), answer


def huge_length() -> None:
    client = Raw()
    frame = bytearray(encode(m.Control(1, "status", {})))
    frame[4:8] = (1 << 31).to_bytes(4, "little")
    client.sock.sendall(bytes(frame))
    assert isinstance(client.hear(), m.Goodbye)


def never_reads() -> None:
    client = Raw()
    try:
        for request in range(1, 200_000):
            client.say(m.Control(request, "status", {}))
    except OSError:  # dropped, or its socket is full and stays so
        return
    raise AssertionError("the daemon read it all")


def too_many_sessions() -> None:
    with connect(PATH) as client:
        first = client.open("digits")
        try:
            client.open("digits")
        except QuotaExceededError:
            first.close()
            return
    raise AssertionError("a second session was allowed")


CHECKS = {
    "rules": [plain_file, unsealed_memfd, many_descriptors, huge_length, never_reads],
    "quota": [too_many_sessions],
}
for check in CHECKS[sys.argv[1]]:
    check()
    print(f"{check.__name__}: refused")
