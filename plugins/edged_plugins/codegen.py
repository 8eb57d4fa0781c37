"""Registers the exporter `c`: models as C for microcontrollers."""

from __future__ import annotations

from collections.abc import Iterable

from edged.backend import Subgraph
from edged.config import Config
from edged.exporter import Exported, ExporterEntry
from edged.hookspecs import hookimpl

TARGETS = ("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "cortex-m3", "cortex-m0plus", "generic")


@hookimpl
def edged_register_exporters(config: Config) -> Iterable[ExporterEntry]:
    """One entry, always there."""

    def export(subgraph: Subgraph, target: str, name: str) -> Exported:
        from edged_backends.mcu.codegen import generate

        made = generate(subgraph, target, name)
        facts = {
            "arena": f"{made.arena_bytes} bytes of RAM, inputs and outputs included",
            "state": f"{made.state_bytes} bytes of RAM",
            "constants": f"{made.constant_bytes} bytes of flash",
            "kernels": ", ".join(made.kernels),
        }
        return Exported(made.files, facts)

    return [ExporterEntry("c", TARGETS, export)]
