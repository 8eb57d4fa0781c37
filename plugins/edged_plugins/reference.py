"""Registers the backend `reference`: NumPy semantics, slow and exact; for comparison, and for ops that
nothing else computes."""

from __future__ import annotations

from collections.abc import Iterable

from edged.backend import Backend, BackendEntry
from edged.config import Config
from edged.hookspecs import hookimpl


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    """One entry, always there."""

    def open_reference() -> Backend:
        from edged_backends.reference import ReferenceBackend

        return ReferenceBackend()

    return [BackendEntry("reference", open_reference, rank=-100, description="NumPy reference semantics")]
