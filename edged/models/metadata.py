"""The signed metadata of a repository, through python-tuf's client, and the small documents that it vouches
for.

What tuf leaves open is closed here: our own bootstrap root on every start (its root.json may be half swapped
after a power cut), everything synced, raw urllib3 errors named, a time limit on each file. `seen` tells
`trust` what has been accepted; nothing of it counts before `trust.advance` agrees. Needs the extra
`edged[updates]`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.errors import ConfigError
from edged.feed import Feed, FeedError, NotThereError
from edged.models.durable import disk, make_folder, sync_tree
from edged.models.errors import NetworkError, TrustError
from edged.models.manifest import MAX_DOCUMENT
from edged.models.points import reach
from edged.models.trust import Seen

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

BASE = "feed:/"
FILE_SECONDS = 120.0
ROLES_LIMIT = 64
ROTATIONS = 1024
"""New roots since the one that the device came with; each is signed by the one before, so nobody else makes
them."""


def _fetcher(feed: Feed, monotonic: Callable[[], float]) -> FetcherInterface:
    """tuf's seam over ours."""
    from tuf.api.exceptions import DownloadError, DownloadHTTPError, SlowRetrievalError
    from tuf.ngclient import FetcherInterface

    class Fetcher(FetcherInterface):
        def _fetch(self, url: str) -> Iterator[bytes]:
            path = url.removeprefix(BASE)
            end = monotonic() + FILE_SECONDS
            try:
                begins, pieces = feed.open(path, 0, MAX_DOCUMENT)
                with closing(pieces):
                    if begins != 0:
                        raise DownloadError(f"{path}: the answer begins at {begins}")
                    for piece in pieces:
                        if monotonic() > end:
                            raise SlowRetrievalError(f"{path}: not finished in {FILE_SECONDS:.0f} s")
                        yield piece
            except NotThereError as error:
                raise DownloadHTTPError(str(error), 404) from None
            except FeedError as error:
                raise DownloadError(str(error)) from None

    return Fetcher()


class Metadata:
    """One refresh of the metadata kept below `root`. `bootstrap`: the root metadata that the device came
    with."""

    def __init__(self, root: Path, bootstrap: bytes, feed: Feed, monotonic: Callable[[], float]) -> None:
        try:
            from tuf.ngclient import Updater, UpdaterConfig
        except ImportError as error:
            raise ConfigError(
                f"model updates need {error.name}", remedy="pip install 'edged[updates]'"
            ) from None
        self.folder, self.documents = root / "metadata", root / "documents"
        with disk(f"making the folders of {root}"):
            make_folder(self.folder)
            make_folder(self.documents)
        self._client = self._guarded(
            "the root metadata",
            lambda: Updater(
                str(self.folder),
                f"{BASE}metadata/",
                target_dir=str(self.documents),
                target_base_url=f"{BASE}targets/",
                fetcher=_fetcher(feed, monotonic),
                config=UpdaterConfig(max_root_rotations=ROTATIONS, max_delegations=16),
                bootstrap=bootstrap,
            ),
        )

    def refresh(self) -> None:
        """root, timestamp, snapshot and targets: two requests when nothing has changed. NetworkError,
        TrustError."""
        self._guarded("the metadata", self._client.refresh)
        reach("metadata.refreshed")

    def document(self, path: str) -> bytes:
        """A signed document's bytes. TrustError when the repository's metadata does not vouch for it."""
        found = self._guarded(path, lambda: self._client.get_targetinfo(path))
        if found is None:
            raise TrustError(
                f"the repository signs no {path}", remedy="check [updates] channel, or release it"
            )
        if found.length > MAX_DOCUMENT:
            raise TrustError(f"{path} has {found.length} bytes, the limit is {MAX_DOCUMENT}")
        place = str(self.documents / hashlib.sha256(path.encode()).hexdigest())
        kept = self._guarded(path, lambda: self._client.find_cached_target(found, place))
        if kept is None:
            self._guarded(path, lambda: self._client.download_target(found, place))
            reach("metadata.document")
        with disk(f"reading {place}"):
            data = Path(place).read_bytes()
        if len(data) != found.length or not _matches(data, found.hashes):
            raise TrustError(f"{path} has changed on this disk", remedy="check the disk")
        return data

    def seen(self) -> Seen:
        """Version and expiry of every role whose metadata has been accepted."""
        versions: dict[str, int] = {}
        expires: dict[str, float] = {}
        keys: dict[str, str] = {}
        for place in sorted(self.folder.glob("*.json"))[:ROLES_LIMIT]:
            try:
                signed = json.loads(place.read_bytes())["signed"]
                versions[place.stem] = int(signed["version"])
                expires[place.stem] = datetime.fromisoformat(signed["expires"]).timestamp()
                keys |= _signers(signed)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # torn on this disk; tuf takes it as absent, and so nothing was accepted by it
        return Seen(versions, expires, keys)

    def sync(self) -> None:
        """What tuf wrote is on the medium."""
        with disk(f"writing {self.folder}"):
            sync_tree(self.folder.parent)

    def forget(self, keep: set[str]) -> None:
        """Deletes documents other than those of the target paths in `keep`."""
        names = {hashlib.sha256(path.encode()).hexdigest() for path in keep}
        with disk(f"deleting old documents of {self.documents}"):
            for place in self.documents.iterdir():
                if place.name not in names:
                    place.unlink()

    def _guarded(self, what: str, act: Callable[[], Any]) -> Any:
        """Names tuf's exceptions as ours."""
        from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError
        from tuf.api.serialization import DeserializationError

        try:
            with disk(f"keeping {what}"):
                return act()
        except DownloadHTTPError as error:
            raise NetworkError(f"{what}: {error}", remedy="check [updates] url") from None
        except DownloadError as error:
            raise NetworkError(f"{what}: {error}") from None
        except (RepositoryError, DeserializationError) as error:
            raise TrustError(
                f"{what} is refused: {error}", remedy="publish again, or check the clock and [updates] root"
            ) from None


def _matches(data: bytes, hashes: dict[str, str]) -> bool:
    """Whether the data has every signed hash, at least one of them one that we know."""
    known = {name: value for name, value in hashes.items() if name in ("sha256", "sha512")}
    return bool(known) and all(hashlib.new(n, data).hexdigest() == v for n, v in known.items())


def _signers(signed: dict[str, Any]) -> dict[str, str]:
    """role -> a name for its set of keys, for the roles that this metadata delegates to. The root's own keys
    are not among them: its versions follow one upon the other, whatever keys it has."""
    top = signed["roles"] if signed["_type"] == "root" else {}
    below = (signed.get("delegations") or {}).get("roles", ())
    found = {**top, **{role["name"]: role for role in below}}
    return {
        name: hashlib.sha256(" ".join(sorted(role["keyids"])).encode()).hexdigest()[:16]
        for name, role in found.items()
        if name != "root"
    }
