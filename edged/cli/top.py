"""`edged top`: a live view of the daemon in a terminal."""

from __future__ import annotations

import curses
import time
from collections.abc import Mapping
from typing import Any

import click

from edged import config as configuration
from edged.cli.remote import status_text


def frame(facts: Mapping[str, Any], before: Mapping[str, Any] | None, seconds: float) -> str:
    """The screen: `edged status`, with rates since the frame before."""
    rates = []
    old = {m["name"]: m["requests"].get("ok", 0) for m in (before or {}).get("models", ())}
    for model in facts["models"]:
        done = model["requests"].get("ok", 0) - old.get(model["name"], model["requests"].get("ok", 0))
        rates.append(f"{model['name']} {done / seconds:.0f}/s" if seconds else model["name"])
    busy = {d["name"]: d["busy_seconds"] for d in (before or {}).get("devices", ())}
    for device in facts["devices"]:
        share = (device["busy_seconds"] - busy.get(device["name"], device["busy_seconds"])) / (seconds or 1)
        rates.append(f"{device['name']} {min(share, 1):.0%} busy")
    return f"{status_text(facts)}\n\n{'  '.join(rates)}\n\nq ends"


def _watch(screen: curses.window, config_path: str | None, interval: float) -> None:
    from edged_ipc import connect

    paths = configuration.client_paths(configuration.load(config_path))
    screen.timeout(int(interval * 1000))
    before, taken = None, 0.0
    with connect(str(paths.control_socket)) as client:
        while True:
            facts, now = client.control("status", {}), time.monotonic()
            text = frame(facts, before, now - taken if before is not None else 0.0)
            screen.erase()
            height, width = screen.getmaxyx()
            for row, line in enumerate(text.splitlines()[: height - 1]):
                screen.addnstr(row, 0, line, width - 1)
            screen.refresh()
            before, taken = facts, now
            if screen.getch() in (ord("q"), 27):
                return


@click.command()
@click.option("--interval", default=1.0, show_default=True, help="Seconds between frames.")
@click.pass_obj
def top(config_path: str | None, interval: float) -> None:
    """Models, devices, queues, latencies and memory, live."""
    curses.wrapper(_watch, config_path, interval)
