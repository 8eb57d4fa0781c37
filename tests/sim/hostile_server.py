"""A static server of a repository that lies, stops, stalls, or never ends: an HTTP source as an attacker
runs it."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edged.publish.serve import StaticRequest, StaticServer, locate, span

Trick = Callable[["HostileRequest"], bool]
"""Answers a request itself and says so, or leaves it to the honest server."""


class HostileServer(StaticServer):
    """Serves `public`; `trick` may answer instead. `sent`: bytes of bodies that went out; `asked`: paths."""

    trick: Trick | None = None

    def __init__(self, public: Path) -> None:
        super().__init__(public)
        self.RequestHandlerClass = HostileRequest
        self.sent = 0
        self.asked: list[str] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: that clients hang up on it is what it is for."""


class HostileRequest(StaticRequest):
    """One connection of it."""

    server: HostileServer

    def setup(self) -> None:
        """What lies in the kernel's buffers counts as sent, so they are small."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        super().setup()

    def answer(self, *, body: bool) -> None:
        self.server.asked.append(self.path)
        if self.server.trick is None or not self.server.trick(self):
            super().answer(body=body)

    def head(self, status: int, **headers: str) -> None:
        """A status line and headers, underscores for dashes."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def give(self, data: bytes) -> None:
        """Bytes of a body."""
        self.wfile.write(data)
        self.server.sent += len(data)

    def honest(self) -> tuple[bytes, int]:
        """What was asked for, and where it begins."""
        path = locate(self.server.public, self.path)
        assert path is not None
        data = path.read_bytes()
        first, end = span(self.headers.get("Range"), len(data)) or (0, 0)
        return data[first:end], first


@contextmanager
def serving(public: Path) -> Iterator[HostileServer]:
    """A server on a free port for the length of a `with`."""
    server = HostileServer(public)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def on(prefix: str, trick: Trick) -> Trick:
    """The trick, on paths that begin so."""
    return lambda request: request.path.startswith(prefix) and trick(request)


def endless(request: HostileRequest) -> bool:
    """A body without an end, of zeros."""
    request.head(200, Connection="close")
    request.close_connection = True
    try:
        for _ in range(2000):  # 128 MB: whoever takes all of it has no bound
            request.give(bytes(65536))
    except OSError:
        pass
    return True


def overlong(request: HostileRequest) -> bool:
    """What was asked for, and a lot more behind it."""
    data, first = request.honest()
    more = data + bytes(1 << 20)
    request.head(206 if first else 200, Content_Length=str(len(more)), Content_Range=f"bytes {first}-/*")
    with suppress(OSError):
        request.give(more)
    return True


def without_range(request: HostileRequest) -> bool:
    """The whole file whatever range was asked for, cut in the middle the first time."""
    path = locate(request.server.public, request.path)
    assert path is not None
    data = path.read_bytes()
    request.head(200, Content_Length=str(len(data)), Connection="close")
    request.close_connection = True
    first = request.server.asked.count(request.path) == 1
    request.give(data[: len(data) // 2] if first else data)
    return True


def wrong_range(request: HostileRequest) -> bool:
    """Another part than the one that was asked for, and it says so."""
    data, first = request.honest()
    request.head(
        206, Content_Length=str(len(data)), Content_Range=f"bytes {first + 7}-{first + 7 + len(data)}/*"
    )
    request.give(data)
    return True


def redirect(place: str) -> Trick:
    """Sends the client elsewhere."""

    def answer(request: HostileRequest) -> bool:
        request.head(302, Location=place, Content_Length="0")
        return True

    return answer


def packed(request: HostileRequest) -> bool:
    """Says that its zeros are gzip, and many."""
    request.head(200, Content_Encoding="gzip", Content_Length="1000")
    request.give(bytes(1000))
    return True


def status(code: int) -> Trick:
    """No file, a status."""

    def answer(request: HostileRequest) -> bool:
        request.head(code, Content_Length="0")
        return True

    return answer


def unlucky(cut: float, flip: float = 0.0, refuse: float = 0.0, seed: int = 1) -> Trick:
    """A share of answers is cut at a random byte, has a bit flipped, or is a 503."""
    draw = random.Random(seed)

    def answer(request: HostileRequest) -> bool:
        if locate(request.server.public, request.path) is None:
            return False
        if draw.random() < refuse:
            return status(503)(request)
        data, first = request.honest()
        if data and draw.random() < flip:
            where = draw.randrange(len(data))
            data = data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]
        request.head(206 if first else 200, Content_Length=str(len(data)), Content_Range=f"bytes {first}-/*")
        if draw.random() < cut:
            data = data[: draw.randrange(len(data))] if data else data
            request.close_connection = True
        request.give(data)
        return True

    return answer
