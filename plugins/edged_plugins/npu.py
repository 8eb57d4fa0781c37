"""Registers a backend `npu:NAME` for every [[npu]] table: a vendor's TFLite delegate in a process of its
own."""

from __future__ import annotations

from collections.abc import Iterable

from edged.backend import Backend, BackendEntry
from edged.config import Config, NpuConfig, threads
from edged.hookspecs import hookimpl


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    """One entry a table; nothing is loaded before it is opened."""
    return [_entry(npu, threads(config)) for npu in config.npu]


def _entry(npu: NpuConfig, count: int) -> BackendEntry:
    def open_npu() -> Backend:
        from edged_backends.npu import NpuBackend

        return NpuBackend(npu, count)

    return BackendEntry(
        f"npu:{npu.name}",
        open_npu,
        isolate=npu.isolate,
        rank=10,
        description=npu.preset or npu.library,
        hang_seconds=npu.hang_seconds,
        memory_bytes=npu.memory_bytes,
    )
