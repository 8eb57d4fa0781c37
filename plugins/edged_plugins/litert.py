"""Registers the backend `litert` where LiteRT is installed. Used only when asked for: our kernels come first.

`[plugins.options.litert] xnnpack = true` trades exact bytes for speed.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from edged.backend import Backend, BackendEntry
from edged.config import Config, threads
from edged.hookspecs import hookimpl

PACKAGES = ("ai_edge_litert", "tflite_runtime")


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    """One entry, in a process of its own, if a package that brings the interpreter is there."""
    if not any(find_spec(package) for package in PACKAGES):
        return []
    xnnpack = bool(config.plugins.options.get("litert", {}).get("xnnpack", False))

    def open_litert() -> Backend:
        from edged_backends.litert import LitertBackend

        return LitertBackend(threads(config), xnnpack=xnnpack)

    return [BackendEntry("litert", open_litert, isolate=True, rank=-5, description="Google's LiteRT kernels")]
