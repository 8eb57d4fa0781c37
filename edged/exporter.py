"""The contract of an exporter: a subgraph made into files that run without edged (hook
`edged_register_exporters`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edged.backend import Subgraph


@dataclass(frozen=True, slots=True)
class Exported:
    """`files` by path, and what a person wants to know of them (sizes), in order."""

    files: Mapping[str, bytes]
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExporterEntry:
    """What a plugin registers. `export(subgraph, target, name)` raises BackendError with the node and the
    reason when it cannot; `targets` are what it can export for, the usual one first."""

    name: str
    targets: tuple[str, ...]
    export: Callable[[Subgraph, str, str], Exported]
