"""What an operator may ask a running daemon for: one table of commands, each with the right it takes.

Runs on a worker thread; answers are plain values for JSON and msgpack.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edged import __version__
from edged.daemon.updates import Updates
from edged.errors import ConfigError, EdgedError, RequestError
from edged.runtime.entry import Entry
from edged.runtime.explain import explain
from edged.runtime.house import House
from edged.runtime.isolated import IsolatedBackend
from edged.runtime.registry import total_in_flight
from edged.source import file_source

Body = Mapping[str, Any]


@dataclass
class Control:
    """The commands, over one house. `started` is the wall clock at start; `lines` the latest log lines."""

    house: House
    lines: Collection[str]
    started: float
    reload: Callable[[], None]
    clients: Callable[[], list[dict[str, Any]]]
    updates: Updates | None = None

    def load(self, body: Body) -> Any:
        path, name = self._path(body), str(body.get("name") or Path(str(body["path"])).stem)
        entry = self.house.load(name, file_source(path), keep=bool(body.get("keep", False)), **_demand(body))
        return model_facts(entry)

    def unload(self, body: Body) -> Any:
        self.house.registry.unload(_name(body))
        return {"unloaded": _name(body)}

    def swap(self, body: Body) -> Any:
        source = file_source(self._path(body))
        entry = self.house.registry.swap(_name(body), source, force=bool(body.get("force", False)))
        return model_facts(entry)

    def plan(self, body: Body) -> Any:
        registry = self.house.registry
        return explain(registry.ready(registry.find(_name(body))))

    def status(self, _body: Body) -> Any:
        registry = self.house.registry
        plugins = self.house.plugins
        return {
            "version": __version__,
            "pid": os.getpid(),
            "uptime_seconds": time.time() - self.started,
            "rss_bytes": rss_bytes(),
            "memory_bytes": registry.resident_bytes(),
            "memory_limit": registry.memory_bytes,
            "in_flight": total_in_flight(list(registry.entries.values())),
            "devices": [_device_facts(d) for d in self.house.devices],
            "unopened": dict(self.house.closed),
            "broken_plugins": [
                {"name": b.name, "provider": b.provider, "reason": b.reason} for b in plugins.broken
            ],
            "models": [model_facts(e) for e in list(registry.entries.values())],
        }

    def ps(self, _body: Body) -> Any:
        return {"clients": self.clients()}

    def logs(self, body: Body) -> Any:
        return {"lines": list(self.lines)[-int(body.get("count", 100)) :]}

    def reload_config(self, _body: Body) -> Any:
        self.reload()
        return {"reloaded": True}

    def models(self, _body: Body) -> Any:
        return self._updates().facts()

    def update(self, body: Body) -> Any:
        folder = str(self._path({"path": body["from"]})) if "from" in body else ""
        return {"asked": self._updates().ask(folder)}

    def rollback(self, body: Body) -> Any:
        record = self._updates().roll_back(_name(body))
        return {"model": record.model, "version": record.version}

    def pin(self, body: Body) -> Any:
        version = body.get("version")
        return self._updates().pin(_name(body), None if version is None else int(version))

    def _updates(self) -> Updates:
        if self.updates is None:
            raise ConfigError("updates are not configured", remedy="set [updates] root and url, and restart")
        return self.updates

    def _path(self, body: Body) -> Path:
        path = Path(str(body.get("path", "")))
        if not path.is_absolute():
            raise RequestError(
                f"path {str(path)!r} is not absolute", remedy="the daemon has another working folder"
            )
        return path


COMMANDS: dict[str, tuple[str, Callable[[Control, Body], Any]]] = {
    "load": ("load", Control.load),
    "unload": ("load", Control.unload),
    "swap": ("load", Control.swap),
    "plan": ("infer", Control.plan),
    "status": ("control", Control.status),
    "ps": ("control", Control.ps),
    "logs": ("control", Control.logs),
    "reload": ("control", Control.reload_config),
    "models": ("control", Control.models),
    "update": ("load", Control.update),
    "rollback": ("load", Control.rollback),
    "pin": ("load", Control.pin),
}
"""Command -> (the right of the policy that it takes, what it does)."""
LOOKS = frozenset({"status", "ps", "logs", "reload"})
"""Commands that only look, and are answered while models are being loaded."""


def run(control: Control, name: str, body: Body) -> Any:
    """One command. RequestError when there is none of that name, or a field is missing or of the wrong
    type."""
    if name not in COMMANDS:
        raise RequestError(f"no command {name!r}", remedy=f"there are: {', '.join(COMMANDS)}")
    try:
        return COMMANDS[name][1](control, body)
    except EdgedError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"{name}: bad arguments: {type(error).__name__}: {error}") from None


def _name(body: Body) -> str:
    if not isinstance(body.get("name"), str):
        raise RequestError("which model? the name is missing")
    return str(body["name"])


def _demand(body: Body) -> dict[str, Any]:
    known: dict[str, Callable[[Any], Any]] = {
        "pin": lambda v: {str(k): str(d) for k, d in v.items()},
        "require": lambda v: {str(k): float(s) for k, s in v.items()},
        "batch": int,
    }
    return {key: read(body[key]) for key, read in known.items() if body.get(key) is not None}


def model_facts(entry: Entry) -> dict[str, Any]:
    """One line of `edged status`."""
    loaded, figures = entry.current, entry.figures
    return {
        "name": entry.name,
        "state": str(entry.state),
        "reason": entry.reason,
        "version": entry.version,
        "source": entry.source.label,
        "devices": list(dict.fromkeys(s.device.name for s in loaded.steps)) if loaded else [],
        "resident_bytes": entry.resident_bytes,
        "sessions": entry.leases,
        "in_flight": total_in_flight([entry]),
        "draining": len(entry.draining),
        "requests": {code.name.lower(): count for code, count in dict(figures.by_code).items()},
        "retries": figures.retries,
        "parity": {**asdict(entry.parity), "steps_mean": entry.parity.steps_mean},
        "p50_us": figures.percentile(0.50),
        "p99_us": figures.percentile(0.99),
    }


def _device_facts(device: Any) -> dict[str, Any]:
    counters = device.counters
    return {
        "name": device.name,
        "state": str(device.state),
        "reason": device.reason,
        "queue": len(device.mailbox),
        "runs": counters.runs,
        "failures": counters.failures,
        "hangs": counters.hangs,
        "probes": counters.probes,
        "readmissions": counters.readmissions,
        "busy_seconds": counters.busy_seconds,
        "child": asdict(device.backend.counters) if isinstance(device.backend, IsolatedBackend) else {},
    }


def rss_bytes() -> int:
    """This process's resident memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
