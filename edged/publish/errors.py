"""What can go wrong while publishing: always the publisher's own files, keys or arguments."""

from __future__ import annotations

from edged.errors import UpdateError


class PublishError(UpdateError):
    """The workspace is not one, or what was asked does not fit what it holds."""


class KeyringError(PublishError):
    """A key is missing, cannot be opened, or is not the one it should be; names the key."""


class GoldenError(PublishError):
    """Golden inputs or outputs cannot be recorded for this model."""
