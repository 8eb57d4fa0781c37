"""A static server for trying a repository out: GET and HEAD of files below one folder, with Range; nothing
else.

On loopback unless told otherwise. Any static host serves a repository as well; this one exists so that a
whole update can be seen on one machine. It lists no folder, follows no link, and sends no file whose name
starts with a dot (files that are being written do).
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from edged.publish.errors import PublishError
from edged.publish.files import PIECE

IDLE_SECONDS = 30.0
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
Log = Callable[[str], None]


def locate(public: Path, url_path: str) -> Path | None:
    """The file that a request path names, None when there is none that may be served."""
    parts = urllib.parse.unquote(urllib.parse.urlsplit(url_path).path).split("/")[1:]
    if not parts or any(p in ("", "..") or p.startswith(".") or "\0" in p for p in parts):
        return None
    path = public
    for part in parts:
        path = path / part
        if path.is_symlink():
            return None
    return path if path.is_file() else None


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """(first, one past the last) byte of a Range header of one range; the whole file where the header is
    none that we serve; None when it lies outside."""
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None:
        return 0, size
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    return None if first >= size or last < first else (first, min(last, size - 1) + 1)


class StaticServer(ThreadingHTTPServer):
    """Serves `public`; `log` gets a line a request. Bind to port 0 for any free one; `url` tells which it
    is."""

    daemon_threads = True

    def __init__(self, public: Path, host: str = "127.0.0.1", port: int = 0, log: Log | None = None) -> None:
        self.public, self.log = public, log
        try:
            super().__init__((host, port), StaticRequest)
        except OSError as error:
            raise PublishError(f"cannot listen on {host}:{port}: {error.strerror}") from None

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


class StaticRequest(BaseHTTPRequestHandler):
    """One connection of a StaticServer."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: StaticServer

    def do_GET(self) -> None:
        """Sends the file, or the range of it that was asked for."""
        self.answer(body=True)

    def do_HEAD(self) -> None:
        """The headers alone."""
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        """Finds the file and sends the head and, for GET, the bytes."""
        path = locate(self.server.public, self.path)
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as file:
            size = path.stat().st_size
            wanted = span(self.headers.get("Range"), size)
            if wanted is None:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            first, end = wanted
            self._head(path, first, end, size)
            if body:
                self._send(file, first, end - first)

    def _head(self, path: Path, first: int, end: int, size: int) -> None:
        part = (first, end) != (0, size)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
        json = path.suffix == ".json"
        self.send_header("Content-Type", "application/json" if json else "application/octet-stream")
        self.send_header("Content-Length", str(end - first))
        self.send_header("Accept-Ranges", "bytes")
        lasting = path.name != "timestamp.json"
        self.send_header("Cache-Control", "public, max-age=31536000, immutable" if lasting else "no-cache")
        self.end_headers()

    def _send(self, file: BinaryIO, first: int, count: int) -> None:
        file.seek(first)
        while count and (piece := file.read(min(PIECE, count))):
            self.wfile.write(piece)
            count -= len(piece)

    def log_message(self, format: str, *args: object) -> None:
        if self.server.log is not None:
            self.server.log(f"{self.client_address[0]} {format % args}")
