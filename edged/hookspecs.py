"""The hooks that a plugin may implement (pluggy). One hook per kind of thing; it hands over frozen entries
and opens nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pluggy

from edged.backend import BackendEntry
from edged.exporter import ExporterEntry
from edged.feed import Feed

if TYPE_CHECKING:
    from edged.config import Config

PROJECT = "edged"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:  # type: ignore[empty-body]
    """Probes the machine and names the backends that could be opened here. Must be quick and must not
    raise."""


@hookspec
def edged_register_exporters(config: Config) -> Iterable[ExporterEntry]:  # type: ignore[empty-body]
    """Names what makes files of models that run without edged (`edged codegen`)."""


@hookspec(firstresult=True)
def edged_open_update(url: str) -> Feed | None:
    """The feed of an `[updates] url` whose scheme is the plugin's own; None for those of others. Called in
    the updater's process, which has no models and no devices."""


@hookspec
def edged_watch_updates(config: Config, poll_now: Callable[[], None]) -> Callable[[], None] | None:
    """Begins to listen for hints that a repository has news, and calls `poll_now`, from any thread, at each.
    What it returns ends that; None when it is not configured. A hint is trusted with nothing: it only lets
    the next poll come sooner. ConfigError for its own table in [plugins.options]."""
