"""The static server gives files and ranges of them, and nothing that lies elsewhere."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.publish.errors import PublishError
from edged.publish.serve import StaticServer, locate, span

DATA = bytes(range(256)) * 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StaticServer]:
    public = tmp_path / "public"
    (public / "blobs").mkdir(parents=True)
    (public / "blobs" / "abc").write_bytes(DATA)
    (public / "timestamp.json").write_bytes(b"{}")
    (public / ".writing-1").write_bytes(b"half")
    (tmp_path / "secret").write_bytes(b"secret")
    (public / "link").symlink_to(tmp_path / "secret")
    made = StaticServer(public)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def _get(
    server: StaticServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(*server.server_address[:2], timeout=5)  # type: ignore[misc]
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    found = reply.status, reply.read(), dict(reply.getheaders())
    connection.close()
    return found


@pytest.mark.parametrize(
    ("header", "part", "status"),
    [
        (None, slice(None), 200),
        ("bytes=100-", slice(100, None), 206),
        ("bytes=0-0", slice(0, 1), 206),
        ("bytes=1000-5000", slice(1000, None), 206),
        ("bytes=0-1,5-6", slice(None), 200),
        ("lines=1-2", slice(None), 200),
    ],
)
def test_ranges(server: StaticServer, header: str | None, part: slice, status: int) -> None:
    got, body, headers = _get(server, "/blobs/abc", **({"Range": header} if header else {}))
    assert (got, body) == (status, DATA[part])
    if status == 206:
        first, last, _ = part.indices(len(DATA))
        assert headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(DATA)}"


@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=9999999-"])
def test_a_range_outside_is_416(server: StaticServer, header: str) -> None:
    status, body, headers = _get(server, "/blobs/abc", Range=header)
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */1024")


@pytest.mark.parametrize(
    "path",
    ["/", "/blobs", "/blobs/", "/../secret", "/%2e%2e/secret", "/blobs/..%2f..%2fsecret", "/link", "/.writing-1",
     "//etc/passwd", "/blobs/abc/", "/blobs/%00", "/nothing", "/blobs/./abc"],
)  # fmt: skip
def test_what_is_no_file_of_the_folder_is_404(server: StaticServer, path: str) -> None:
    status, body, _ = _get(server, path)
    assert status == 404
    assert b"secret" not in body


def test_head_sends_no_body(server: StaticServer) -> None:
    status, body, headers = _get(server, "/blobs/abc", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "1024")


def test_only_the_timestamp_is_asked_for_again(server: StaticServer) -> None:
    assert "immutable" in _get(server, "/blobs/abc")[2]["Cache-Control"]
    assert _get(server, "/timestamp.json")[2]["Cache-Control"] == "no-cache"


def test_other_methods_are_refused(server: StaticServer) -> None:
    assert _get(server, "/blobs/abc", "PUT")[0] == 501
    assert _get(server, "/blobs/abc", "DELETE")[0] == 501


def test_a_port_that_is_taken_is_named(server: StaticServer, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="cannot listen on 127"):
        StaticServer(tmp_path, port=server.server_address[1])


def test_the_pure_parts(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"x")
    assert locate(tmp_path, "/a%20b?query#part") == tmp_path / "a b"
    assert span("bytes=5-3", 10) is None
    assert span("bytes=5-", 10) == (5, 10)
