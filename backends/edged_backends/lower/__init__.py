"""Lowering rules: one file per kernel family, each ending in `LOWER` (a rule per node kind) and, where it
fuses, `GROUPS`.

A rule turns a node into steps of the program and returns None, or returns the reason why it cannot; the
node then falls back to the NumPy reference inside the same session, and `edged plan` shows the reason. The
tables are joined on first use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.graph.model import Node
    from edged_backends.lowering import Lowering

Rule = Callable[["Lowering", "Node"], "str | None"]
GroupRule = Callable[["Lowering", "Sequence[Node]"], "str | None"]


@cache
def rules() -> dict[str, Rule]:
    """Every rule by `Node.kind`. A kind that two families lower is a programming error."""
    joined: dict[str, Rule] = {}
    for family in families():
        for kind, rule in getattr(import_module(f"{__name__}.{family}"), "LOWER", {}).items():
            if kind in joined:
                raise AssertionError(f"{kind} is lowered twice; the second rule is in lower/{family}.py")
            joined[kind] = rule
    return joined


@cache
def groups() -> tuple[tuple[tuple[str, ...], GroupRule], ...]:
    """Every fusion, longest pattern first: (kinds of a chain of nodes, rule over those nodes).

    A chain matches when each node's first output is read by the next node and by nothing else. The rule
    is asked at the place of the chain's last node; when it refuses, the nodes are lowered one by one.
    """
    found: list[tuple[tuple[str, ...], GroupRule]] = []
    for family in families():
        found.extend(getattr(import_module(f"{__name__}.{family}"), "GROUPS", ()))
    return tuple(sorted(found, key=lambda group: -len(group[0])))


@cache
def families() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in iter_modules(__path__)))
