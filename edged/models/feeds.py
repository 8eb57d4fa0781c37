"""The built-in feeds: a static http(s) server, and a folder (a USB stick, a test). What is not here a plugin
opens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from edged.errors import ConfigError
from edged.feed import Feed, FeedError, NotThereError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

PIECE = 1 << 16
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 20.0
REDIRECTS = 3
REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})


def _agent() -> str:
    from edged import __version__

    return f"edged/{__version__}"


class HttpFeed(Feed):
    """A static server. Redirects are followed, three at most, and never from https to http."""

    def __init__(self, url: str) -> None:
        import urllib3

        self.url = url.rstrip("/") + "/"
        self._pool = urllib3.PoolManager(
            num_pools=2,
            maxsize=1,
            retries=False,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=SILENCE_SECONDS),
            headers={"User-Agent": _agent(), "Accept-Encoding": "identity"},
        )

    def open(self, path: str, start: int, limit: int) -> tuple[int, Generator[bytes, None, None]]:
        import urllib3

        headers = {"Range": f"bytes={start}-"} if start else {}
        url = urljoin(self.url, path)
        try:
            response = self._get(url, headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FeedError(f"{_bare(url)}: {_words(error)}") from None
        if response.status in (403, 404):  # S3 says 403 for what is not there
            _drop(response)
            raise NotThereError(f"{_bare(url)} is not there (http {response.status})")
        if response.status == 416:
            _drop(response)
            return self.open(path, 0, limit)
        if response.status not in (200, 206):
            _drop(response)
            raise FeedError(f"{_bare(url)}: http {response.status}")
        begins = _content_start(response.headers.get("Content-Range", "")) if response.status == 206 else 0
        return begins, _pieces(response, url)

    def _get(self, url: str, headers: dict[str, str]) -> BaseHTTPResponse:
        """The answer after redirects, its body not read yet."""
        for _hop in range(REDIRECTS + 1):
            response = self._pool.request(
                "GET", url, headers={**self._pool.headers, **headers}, preload_content=False, redirect=False
            )
            if response.status not in REDIRECT_CODES:
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            _drop(response)
            before, after = urlsplit(url).scheme, urlsplit(target).scheme
            if after not in ("http", "https") or (before == "https" and after != "https"):
                raise FeedError(f"{_bare(url)}: redirected to {after or 'nowhere'}, which is not followed")
            url = target
        raise FeedError(f"{_bare(url)}: more than {REDIRECTS} redirects")

    def close(self) -> None:
        self._pool.clear()


def _drop(response: BaseHTTPResponse) -> None:
    """Gives up a body that nobody wants, and its connection: one with unread bytes cannot be used again."""
    response.close()
    response.release_conn()


def _pieces(response: BaseHTTPResponse, url: str) -> Generator[bytes, None, None]:
    """The body. A connection that breaks in the middle is a FeedError, whatever urllib3 calls it."""
    import urllib3

    try:
        yield from response.stream(PIECE, decode_content=False)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise FeedError(f"{_bare(url)}: {_words(error)}") from None
    finally:
        response.close()
        response.release_conn()


def _content_start(header: str) -> int:
    """The first byte of `bytes 100-199/200`; -1 for what cannot be read, which nobody has asked for."""
    unit, _, rest = header.partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else -1


def _bare(url: str) -> str:
    """The url without what may be a secret: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _words(error: Exception) -> str:
    """The innermost cause in words: urllib3 wraps them."""
    while (inner := error.__cause__ or error.__context__) is not None and isinstance(inner, Exception):
        error = inner
    return f"{type(error).__name__}: {error}"[:300]


class FolderFeed(Feed):
    """The same tree in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise ConfigError(f"{root} is no folder", remedy="name the one that holds metadata/ and blobs/")

    def open(self, path: str, start: int, limit: int) -> tuple[int, Generator[bytes, None, None]]:
        place = self.root / path
        if not place.is_file():
            raise NotThereError(f"{place} is not there")
        return start, self._pieces(place, start)

    def _pieces(self, place: Path, start: int) -> Generator[bytes, None, None]:
        try:
            with place.open("rb") as file:
                file.seek(start)
                while piece := file.read(PIECE):
                    yield piece
        except OSError as error:
            raise FeedError(f"{place}: {error.strerror}") from None


def _open_folder(url: str) -> Feed:
    return FolderFeed(Path(unquote(urlsplit(url).path)))


SCHEMES: dict[str, Callable[[str], Feed]] = {"http": HttpFeed, "https": HttpFeed, "file": _open_folder}


def open_feed(url: str, others: Callable[[str], Feed | None] = lambda _url: None) -> Feed:
    """The feed of a url; `others` is asked about schemes that are not built in. ConfigError names what there
    is."""
    scheme = urlsplit(url).scheme
    if url.startswith("/"):
        return FolderFeed(Path(url))
    if scheme in SCHEMES:
        return SCHEMES[scheme](url)
    if (feed := others(url)) is not None:
        return feed
    raise ConfigError(
        f"[updates] url: nothing opens {scheme or url!r}", remedy=f"built in: {', '.join(sorted(SCHEMES))}"
    )
