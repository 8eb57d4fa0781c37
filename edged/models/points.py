"""Named points on the way of an update where power may fail. Production does nothing at them; a test sets
`hook` in its own child process and kills it there."""

from __future__ import annotations

from collections.abc import Callable


def _pass(_name: str) -> None:
    """Production: go on."""


hook: Callable[[str], None] = _pass


def reach(name: str) -> None:
    """Execution is at the point `name`."""
    hook(name)
