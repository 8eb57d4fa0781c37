"""What can go wrong with an update."""

from __future__ import annotations

from edged.errors import UpdateError


class ManifestError(UpdateError):
    """A manifest, rollout or blob description breaks its format: the publisher's mistake."""


class TrustError(UpdateError):
    """Signed metadata is refused: replayed, expired, wrongly signed, or older than a floor."""


class BlobError(UpdateError):
    """Bytes of a blob are not those that were signed."""


class NetworkError(UpdateError):
    """The source could not be reached, or stopped in the middle: tried again at the next poll."""


class StoreError(UpdateError):
    """The store on disk cannot be used: full, read-only, held by another process, or damaged."""


class TrialError(UpdateError):
    """A candidate was tried and found wanting: says in which case and how."""


class SealError(UpdateError):
    """A sealed model cannot be opened: the key is missing, unsafe or another one, or the file is damaged."""
