"""Registers a backend `mcu:NAME` for every [[mcu]] table: a board on a serial line."""

from __future__ import annotations

from collections.abc import Iterable

from edged.backend import Backend, BackendEntry
from edged.config import Config, McuConfig
from edged.hookspecs import hookimpl


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    """One entry a table; no port is opened before the backend is."""
    return [_entry(mcu) for mcu in config.mcu]


def _entry(mcu: McuConfig) -> BackendEntry:
    def open_mcu() -> Backend:
        from edged_backends.mcu.backend import McuBackend

        return McuBackend(mcu)

    return BackendEntry(f"mcu:{mcu.name or mcu.port}", open_mcu, rank=20, description=mcu.port)
