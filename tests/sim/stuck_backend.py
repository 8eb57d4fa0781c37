"""A plugin for tests of the watchdog: the cpu backend under another name, whose device thread stops for ever while a file is there.

It calls itself trusted, so that nobody but the watchdog mends it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from edged.backend import (
    YES,
    Backend,
    BackendEntry,
    Cost,
    Delegate,
    PrepareContext,
    RunContext,
    Subgraph,
    Support,
)
from edged.config import Config
from edged.graph.model import Node
from edged.hookspecs import hookimpl
from edged_backends.cpu import CpuBackend

SIGN = Path("/var/lib/edged/stuck")


class StuckDelegate(Delegate):
    """Our own kernels, or nothing ever again."""

    def __init__(self, inner: Delegate) -> None:
        self.inner, self.inputs, self.outputs = inner, inner.inputs, inner.outputs

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        if SIGN.exists():
            threading.Event().wait()
        self.inner.run(ctx, inputs, outputs)


class StuckBackend(Backend):
    name = "stuck"
    trusted = True

    def __init__(self) -> None:
        self.cpu = CpuBackend()

    def supports(self, node: Node) -> Support:
        return YES

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(0.001)

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> Delegate:
        return StuckDelegate(self.cpu.prepare(ctx, subgraph))


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    return [BackendEntry("stuck", StuckBackend)]
