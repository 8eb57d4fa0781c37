"""Registers the backend `cpu`: C kernels on this machine's own processor."""

from __future__ import annotations

from collections.abc import Iterable

from edged.backend import Backend, BackendEntry
from edged.config import Config, arch_mask, threads
from edged.hookspecs import hookimpl


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    """One entry, always there."""

    def open_cpu() -> Backend:
        from edged_backends.cpu import CpuBackend

        seconds = config.limits.run_seconds
        return CpuBackend(threads(config), arch_mask(config), config.cpu.max_arena_bytes, seconds)

    return [BackendEntry("cpu", open_cpu, rank=100, description="C kernels on this machine's processor")]
