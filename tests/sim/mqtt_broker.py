"""A broker of MQTT 3.1.1, as much as a subscriber needs: CONNECT, SUBSCRIBE, PINGREQ; and what a hostile one
sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CONNECT, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 8, 12, 14


class Broker:
    """Takes subscribers one after another. `topics`: what was subscribed; `subscribed` is set then."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.topics: list[str] = []
        self.subscribed = threading.Event()
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def publish(self, topic: str, payload: bytes) -> None:
        """A message with QoS 0 to the subscriber."""
        body = len(topic).to_bytes(2, "big") + topic.encode() + payload
        self.send(b"\x30" + _length(len(body)) + body)

    def send(self, data: bytes) -> None:
        """Raw bytes to the subscriber."""
        assert self._peer is not None
        with suppress(OSError):
            self._peer.sendall(data)

    def drop(self) -> None:
        """Ends the connection."""
        self.subscribed.clear()
        assert self._peer is not None
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in accept
        self.listener.close()
        if self._peer is not None:
            self._peer.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                self._peer = peer
                with peer, suppress(OSError, EOFError):
                    self._converse(peer)

    def _converse(self, peer: socket.socket) -> None:
        while True:
            kind, body = _packet(peer)
            if kind == CONNECT:
                peer.sendall(b"\x20\x02\x00\x00")
            elif kind == SUBSCRIBE:
                size = int.from_bytes(body[2:4], "big")
                self.topics.append(body[4 : 4 + size].decode())
                peer.sendall(b"\x90\x03" + body[:2] + b"\x01")
                self.subscribed.set()
            elif kind == PINGREQ:
                peer.sendall(b"\xd0\x00")
            elif kind == DISCONNECT:
                return


def _packet(peer: socket.socket) -> tuple[int, bytes]:
    """(kind, body) of the next packet. EOFError at the end."""
    head = _exactly(peer, 1)[0]
    size = shift = 0
    while True:
        byte = _exactly(peer, 1)[0]
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head >> 4, _exactly(peer, size)


def _exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = peer.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def _length(size: int) -> bytes:
    """MQTT's variable byte integer."""
    out = bytearray()
    while True:
        size, low = divmod(size, 128)
        out.append(low | (128 if size else 0))
        if not size:
            return bytes(out)


@contextmanager
def broker() -> Iterator[Broker]:
    """A broker for the length of a `with`."""
    made = Broker()
    try:
        yield made
    finally:
        made.close()
