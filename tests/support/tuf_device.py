"""What any TUF client sees in a repository: python-tuf's own, over a folder. Judges the publisher
independently of edged's updater."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from unittest import mock

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface


class FolderFetcher(FetcherInterface):
    """Serves `folder:///path` from the file system."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(url.removeprefix("folder://"))
        if not path.is_file():
            raise DownloadHTTPError(f"{path} is not there", 404)
        yield path.read_bytes()


class TufDevice:
    """A client that was shipped with one root and keeps what it saw in `state`."""

    def __init__(self, public: Path, state: Path, root: bytes) -> None:
        self.public, self.state, self.root = public, state, root

    def updater(self) -> Updater:
        """A refreshed client. Raises what python-tuf raises for a repository that it refuses."""
        (self.state / "targets").mkdir(parents=True, exist_ok=True)
        base = f"folder://{self.public}"
        made = Updater(
            str(self.state), f"{base}/metadata/", str(self.state / "targets"), f"{base}/targets/",
            FolderFetcher(), UpdaterConfig(), bootstrap=self.root,
        )  # fmt: skip
        made.refresh()
        return made

    def target(self, path: str) -> bytes | None:
        """A target file, None when nobody signed one of that path."""
        updater = self.updater()
        info = updater.get_targetinfo(path)
        return None if info is None else Path(updater.download_target(info)).read_bytes()

    def at(self, now: datetime) -> mock._patch[object]:
        """Makes python-tuf's clock say `now` within a with block."""
        fake = mock.Mock(wraps=datetime)
        fake.now.return_value = now
        return mock.patch("tuf.ngclient._internal.trusted_metadata_set.datetime.datetime", fake)
