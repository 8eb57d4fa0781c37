"""`edged doctor`: what this machine has, what edged makes of it, and what is wrong, with the remedy."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from edged import __version__
from edged import config as configuration
from edged.cli.doctor_system import LOOKS, Finding
from edged.config import Config
from edged.runtime.house import House
from edged_ipc.errors import IpcError

REMEDY = 'mend what it says; or do without it, in edged.toml: [plugins] disable = ["{}"]'


def machine() -> Iterator[Finding]:
    """The machine and the interpreter."""
    yield Finding("edged", True, f"{__version__} on Python {platform.python_version()}, {platform.machine()}")
    cores = len(os.sched_getaffinity(0))
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    memory = pages * size >> 20
    remedy = "" if memory >= 480 else "512 MB of RAM is the least that edged is made for"
    yield Finding("machine", memory >= 480, f"{cores} cores, {memory} MiB of memory", remedy)


def _daemon_says(config: Config) -> Mapping[str, Any]:
    """`status` of the daemon; nothing where none runs, or this user may not ask it."""
    from edged_ipc import connect

    path = configuration.client_paths(config).control_socket
    try:
        with connect(str(path), patience=1.0) as client:
            found: Mapping[str, Any] = client.control("status", {})
    except (OSError, IpcError):
        return {}
    return found


def _closed(config: Config, closed: Mapping[str, str]) -> Iterator[Finding]:
    """Backends that cannot be opened here: the daemon may have them, a board has one port."""
    status = _daemon_says(config) if closed else {}
    open_there = {device["name"]: device for device in status.get("devices", ())}
    for name, reason in closed.items():
        there = open_there.get(name)
        if there is None:
            reason = status.get("unopened", {}).get(name, reason)
            yield Finding(f"device {name}", False, reason, REMEDY.format(name.split(":")[0]))
            continue
        seen = f"the daemon has it: {there['state']}, {there['runs']} runs, {there['failures']} failures"
        yield Finding(f"device {name}", there["state"] == "up", seen, there["reason"])


def devices(config: Config) -> Iterator[Finding]:
    """Plugins, and every backend that can be opened."""
    house = House(config)
    try:
        for broken in house.plugins.broken:
            yield Finding(
                f"plugin {broken.name}",
                False,
                f"{broken.provider}: {broken.reason}",
                f'reinstall {broken.provider}, or edged.toml: [plugins] disable = ["{broken.name}"]',
            )
        yield from _closed(config, dict(house.closed))
        for device in house.devices:
            support = device.backend.probe()
            facts = ", ".join(f"{k} {v}" for k, v in device.backend.facts().items())
            yield Finding(f"device {device.name}", bool(support), facts or "ready", support.reason)
    finally:
        house.close()


def folders(config: Config) -> Iterator[Finding]:
    """The folders that the daemon writes to."""
    paths = configuration.paths(config)
    for what, folder in (("state folder", paths.state), ("runtime folder", paths.runtime)):
        there = next(p for p in (folder, *folder.parents) if p.exists())
        if os.access(there, os.W_OK):
            free = os.statvfs(there)
            left = free.f_bavail * free.f_frsize >> 20
            yield Finding(
                what, left > 64, f"{folder}, {left} MiB free", "" if left > 64 else "free some disk space"
            )
        else:
            yield Finding(
                what, False, f"{folder} cannot be written", f"sudo install -d -o {os.getuid()} {folder}"
            )


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def doctor(config_path: str | None, as_json: bool) -> None:
    """Looks at machine, devices, folders, service, sockets, clock, updates; exit status 1 if something needs
    mending."""
    config = configuration.load(config_path)
    bad = False
    for look in (machine(), devices(config), folders(config), *(look(config) for look in LOOKS)):
        for finding in look:
            bad = bad or not finding.ok
            mark = "ok " if finding.ok else "BAD"
            text = f"{mark} {finding.what}: {finding.seen}" + (
                f"\n      mend: {finding.remedy}" if finding.remedy else ""
            )
            click.echo(json.dumps(asdict(finding)) if as_json else text)
    sys.exit(1 if bad else 0)
