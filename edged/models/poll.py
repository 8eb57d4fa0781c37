"""The updater's process: `python -m edged.models.poll`, one poll and then the end, so that its memory is
given back.

The only part of the daemon that needs a network. It reads an Order as JSON from stdin and writes facts, one
JSON object a line, to stdout; the last one is "done" or "refused". It dies with the daemon.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep, time

import msgspec

from edged.errors import ConfigError, EdgedError
from edged.feed import Feed
from edged.models.blobs import Blobs
from edged.models.feeds import open_feed
from edged.models.fetch import Pace
from edged.models.store import Store
from edged.models.updater import Poll, Settings

PROGRESS_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do: the store's folder, the feed's url, and [updates]. `root`: the trusted root.json's path;
    `parent`: the daemon's process."""

    state: str
    url: str
    channel: str
    device: str
    root: str
    quota_bytes: int
    models: list[str] = []
    pins: dict[str, int] = {}
    parent: int = 0
    keys: list[str] = []


class Lines:
    """Facts as JSON lines; progress at most every half second, and when it ends."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, facts: Mapping[str, object]) -> None:
        if facts.get("event") == "progress":
            if monotonic() - self._last < PROGRESS_SECONDS and facts["done"] != facts["total"]:
                return
            self._last = monotonic()
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()


def _from_plugins(url: str) -> Feed | None:
    """Asks plugins, which are imported only for a url that is not ours."""
    from edged import plugins
    from edged.config import Config

    feed: Feed | None = plugins.load(Config()).manager.hook.edged_open_update(url=url)
    return feed


def bootstrap(path: str) -> bytes:
    """The trusted root.json. ConfigError says where to get it."""
    if not path:
        raise ConfigError(
            "[updates] root is not set", remedy="copy metadata/1.root.json of the repository to the device"
        )
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"[updates] root: {path}: {error.strerror}") from None


def die_with(parent: int) -> None:
    """The kernel ends this process when its parent ends; SystemExit where that had happened before it was
    asked. A `parent` of 0 is not looked for."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent and os.getppid() != parent:
        raise SystemExit(1)


def give_way() -> None:
    """Runs in the time that clients' requests leave over, where the service's sandbox lets us say so."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def peak_bytes() -> int:
    """The most memory that was resident since the process began (getrusage would count its parent's)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def execute(order: Order, report: Lines) -> None:
    """One poll, whole. EdgedError when the repository or the store cannot be used."""
    settings = Settings(
        order.channel,
        order.device,
        bootstrap(order.root),
        frozenset(order.models),
        order.pins,
        [Path(folder) for folder in order.keys],
    )
    state = Path(order.state)
    store = Store(state)
    feed = open_feed(order.url, _from_plugins)
    try:
        with store.lock():
            blobs = Blobs(state, order.quota_bytes)
            poll = Poll(store, blobs, feed, settings, now=time, pace=Pace(monotonic, sleep), report=report)
            staged = poll.run()
            versions = [[m.model, m.version] for m in staged]
            report({"event": "done", "staged": versions, "bytes": poll.bytes, "peak_bytes": peak_bytes()})
    finally:
        feed.close()
        store.close()


def main() -> int:
    """0: done. 1: refused, the last line says why."""
    give_way()
    report = Lines()
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
        die_with(order.parent)
        execute(order, report)
    except EdgedError as error:
        report({"event": "refused", "reason": str(error), "kind": type(error).__name__})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
