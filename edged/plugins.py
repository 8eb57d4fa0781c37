"""Loads plugins from entry points, one by one: a broken one is named and skipped, two of one name are
refused.

Built-in backends come through the same door as third parties': the entry-point group `edged`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

import pluggy

from edged import hookspecs
from edged.backend import BackendEntry
from edged.config import Config
from edged.errors import ConfigError

GROUP = "edged"


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that was skipped, and why."""

    name: str
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plugins:
    """What was found: the hook caller, who was skipped, and every backend entry with its provider."""

    manager: pluggy.PluginManager
    broken: tuple[Broken, ...] = ()
    backends: dict[str, BackendEntry] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)


def _provider(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def _unique(points: Iterable[EntryPoint]) -> list[EntryPoint]:
    """The entry points, ConfigError naming both providers where two have one name."""
    seen: dict[str, EntryPoint] = {}
    for point in points:
        other = seen.setdefault(point.name, point)
        if other.value != point.value:
            raise ConfigError(
                f"two plugins are named {point.name!r}: {_provider(other)} ({other.value}) and "
                f"{_provider(point)} ({point.value})",
                remedy="uninstall one of them",
            )
    return sorted(seen.values(), key=lambda point: point.name)


def _collect(plugins: Plugins, name: str, provider: str, entries: Iterable[BackendEntry]) -> None:
    for entry in entries:
        if entry.name in plugins.backends:
            raise ConfigError(
                f"two backends are named {entry.name!r}: "
                f"from {plugins.providers[entry.name]} and from {provider}",
                remedy=f"disable one plugin: [plugins] disable = [{name!r}]",
            )
        plugins.backends[entry.name] = entry
        plugins.providers[entry.name] = provider


def load(config: Config, points: Iterable[EntryPoint] | None = None) -> Plugins:
    """Imports every enabled plugin and asks each for its backends. ConfigError only for two of one name."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    found, broken = Plugins(manager), []
    for point in _unique(entry_points(group=GROUP) if points is None else points):
        if point.name in config.plugins.disable:
            continue
        try:
            plugin = point.load()
            manager.register(plugin, name=point.name)
            unknown = [f for f in dir(plugin) if f.startswith("edged_") and not hasattr(manager.hook, f)]
            if unknown:
                raise AttributeError(f"no such hook: {', '.join(unknown)}")
            hook = getattr(plugin, "edged_register_backends", None)
            entries = tuple(hook(config)) if hook is not None else ()
            strange = [e for e in entries if not isinstance(e, BackendEntry)]
            if strange:
                raise TypeError(f"edged_register_backends gave {strange[0]!r}, which is no BackendEntry")
        except Exception as error:
            broken.append(Broken(point.name, _provider(point), f"{type(error).__name__}: {error}"))
            if manager.has_plugin(point.name):
                manager.unregister(name=point.name)
            continue
        _collect(found, point.name, _provider(point), entries)
    return Plugins(manager, tuple(broken), found.backends, found.providers)
