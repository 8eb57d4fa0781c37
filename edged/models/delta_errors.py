"""Errors of deltas, and the import of zstandard that both algorithms share."""

from __future__ import annotations

from types import ModuleType

from edged.errors import UpdateError


class DeltaError(UpdateError):
    """A patch cannot be applied to this base: damaged, hostile, or for another file. Take the whole file."""


class DeltaMemoryError(DeltaError):
    """Applying or making the patch would hold more memory than allowed."""


def zstandard() -> ModuleType:
    """The module zstandard. DeltaError where it is not installed."""
    try:
        import zstandard as module
    except ImportError:
        raise DeltaError("deltas need zstandard", remedy="pip install 'edged[updates]'") from None
    return module
