"""Updates in the daemon: one thread that polls now and then, tries what has come, and watches what serves on
probation.

Everything risky happens in children; this thread only decides, commits and swaps. It is never a device's
thread nor the daemon's loop, so a slow repository holds nobody up.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic, time
from typing import Any

from edged.config import Config, device_id, key_folders
from edged.daemon.children import Children, StoppedError
from edged.daemon.serving import Serving
from edged.daemon.trying import Trying
from edged.errors import ConfigError, EdgedError
from edged.models.blobs import Blobs
from edged.models.errors import StoreError
from edged.models.manifest import MAX_VERSION, check_name
from edged.models.poll import Order
from edged.models.states import State
from edged.models.store import Record, Store
from edged.runtime.house import House

LOOK_SECONDS = 1.0
FIRST_POLL_SECONDS = 5.0
RETRY_SECONDS = 60.0
"""After a poll that was refused, doubled each time up to the poll interval."""
HINT_SECONDS = 10.0
"""Hints make one poll in this time, however many come."""

Log = Callable[[str], None]


class Updates:
    """The store below `state`/updates, and the thread. `start` after the configured models are loaded."""

    def __init__(self, house: House, config: Config, state: Path, log: Log) -> None:
        self.house, self.config, self.log = house, config, log
        self.root = state / "updates"
        self.store = Store(self.root)
        self.blobs = Blobs(self.root, config.updates.quota_bytes)
        self.serving = Serving(house, config, self.store, self.blobs, log)
        self.children = Children()
        self.trying = Trying(house, config, self.serving, self.children, log)
        self.progress: dict[str, Any] = {}
        self.last: dict[str, Any] = {"asked": 0, "done": 0, "result": "", "events": []}
        self._wish: list[str] = []
        self._wake = threading.Condition()
        self._refused = 0
        self._next = monotonic() + FIRST_POLL_SECONDS * random.random()
        self._hints: list[Callable[[], None]] = []
        self._polled = 0.0
        self._thread = threading.Thread(target=self._run, name="edged:updates", daemon=True)
        self._started = False

    def start(self) -> None:
        """Begins to poll, and to listen for hints that there is news."""
        self._started = True
        self._thread.start()
        for plugin in self.house.plugins.manager.hook.edged_watch_updates.get_hookimpls():
            try:
                stop = plugin.function(config=self.config, poll_now=self.hint)
            except Exception as error:  # a plugin's; polls go on without its hints
                self.log(f"updates: no hints from {plugin.plugin_name}: {error}")
                continue
            if callable(stop):
                self._hints.append(stop)

    def stop(self) -> None:
        """Ends the thread and its child; what was under way goes on after the next start."""
        for end in self._hints:
            end()
        self.children.stop()
        with self._wake:
            self._wake.notify()
        if self._started:
            self._thread.join()
        self.store.close()

    def set_config(self, config: Config) -> None:
        """[updates] as it is now."""
        self.config = self.serving.config = self.trying.config = config
        self.blobs.quota = config.updates.quota_bytes

    def ask(self, url: str) -> int:
        """A poll now, of `url` instead of the configured one if it is not "". The number that `last["done"]`
        will reach when it is over."""
        if not (url or self.config.updates.url):
            raise ConfigError("[updates] url is not set", remedy="set it, or `edged update --from FOLDER`")
        with self._wake:
            self._wish.append(url)
            self.last["asked"] += 1
            self._wake.notify()
            return int(self.last["asked"])

    def hint(self) -> None:
        """Somebody says that there is news; from any thread, trusted with nothing. The next poll comes at
        once, or HINT_SECONDS after the one before."""
        with self._wake:
            soon = max(monotonic(), self._polled + HINT_SECONDS)
            if soon < self._next:
                self._next = soon
                self._wake.notify()

    def roll_back(self, model: str) -> Record:
        """The version before serves again; the one that served is barred."""
        return self.serving.roll_back(model)

    def pin(self, model: str, version: int | None) -> dict[str, Any]:
        """Holds a model at a version from the next poll on; None lets it go."""
        check_name(model)
        if version is not None and not 1 <= version <= MAX_VERSION:
            raise StoreError(f"{version} is not a version number", remedy=f"1 to {MAX_VERSION}")
        self.store.pin(model, version)
        return {"model": model, "version": version}

    def names(self) -> set[str]:
        """The models of which a version from an update serves, or should."""
        return {record.model for record in self.store.records() if record.state is State.ACTIVE}

    def facts(self) -> dict[str, Any]:
        """For `edged models`: every version with its state, pins, and how the last poll went."""
        return {
            "url": self.config.updates.url,
            "channel": self.config.updates.channel,
            "device": device_id(self.config),
            "pins": {**self.config.updates.pin, **self.store.pins()},
            "versions": [_facts(r) for r in self.store.records()],
            "bytes": self.blobs.used(),
            "quota_bytes": self.blobs.quota,
            "waiting": dict(self.trying.waiting),
            "progress": dict(self.progress),
            "poll": {**self.last, "events": list(self.last["events"])},
        }

    def _run(self) -> None:
        while not self.children.stopping:
            try:
                self._turn()
            except StoppedError:
                return
            except EdgedError as error:
                self._pause(str(error))
            except Exception as error:  # a defect of ours must not end updates for good
                self._pause(f"{type(error).__name__}: {error}")

    def _pause(self, why: str) -> None:
        """After a failure of our own disk or code: nothing for a while, unless somebody asks."""
        self.log(f"updates: {why}")
        self._later(RETRY_SECONDS)
        with self._wake:
            if not self._wish and not self.children.stopping:
                self._wake.wait(RETRY_SECONDS)

    def _turn(self) -> None:
        """Waits for the next thing to do, and does it."""
        candidates = self.trying.due()
        with self._wake:
            if not candidates and not self._wish and not self.children.stopping:
                self._wake.wait(self._patience())
            wishes, self._wish = self._wish, []
        if self.children.stopping:
            return
        self.serving.look()
        if wishes or (self.config.updates.url and monotonic() >= self._next):
            try:
                for url in wishes or [""]:
                    self._poll(url or self.config.updates.url)
            finally:
                with self._wake:
                    self.last["done"] += len(wishes)
        else:
            self.trying.all(candidates)

    def _patience(self) -> float | None:
        """Seconds to the next thing that is due; None when nothing ever is."""
        due = [self._next - monotonic()] if self.config.updates.url else []
        if self.serving.watched:
            due.append(LOOK_SECONDS)
        if self.trying.waiting:
            due.append(self.trying.hold - monotonic())
        return max(0.0, min(due)) if due else None

    def _later(self, seconds: float) -> None:
        """The next poll is after `seconds` and some that are random, so that a fleet does not come all at
        once."""
        self._next = monotonic() + seconds * (1.0 + self.config.updates.jitter * (2 * random.random() - 1.0))

    def _order(self, url: str) -> Order:
        it = self.config.updates
        return Order(
            state=str(self.root), url=url, channel=it.channel, device=device_id(self.config), root=it.root,
            quota_bytes=it.quota_bytes, models=list(it.models), pins=dict(it.pin),
            keys=[str(folder) for folder in key_folders(self.config)], parent=os.getpid(),
        )  # fmt: skip

    def _poll(self, url: str) -> None:
        """One poll and the trials of what it brought."""
        self._polled = monotonic()
        events: list[dict[str, Any]] = []
        self.last["events"], self.last["result"] = events, "under way"

        def report(facts: Mapping[str, Any]) -> None:
            if facts["event"] == "progress":
                self.progress = dict(facts)
            else:
                events.append(dict(facts))

        try:
            self.children.poll(self._order(url), report)
            refused = next((e["reason"] for e in events if e["event"] == "refused"), "")
        except StoppedError:
            raise
        except EdgedError as error:
            refused = str(error)
        self.progress = {}
        self.last["result"], self.last["at"] = refused or "done", time()
        for event in events:
            if event["event"] in ("failed", "delta refused"):
                self.log(f"updates: {event['model']} {event['version']}: {event['reason']}")
        self._refused = self._refused + 1 if refused else 0
        if refused:
            self.log(f"updates: {refused}")
            wait = min(RETRY_SECONDS * 2 ** min(self._refused - 1, 10), self.config.updates.poll_seconds)
            self._later(wait)
        else:
            self._later(self.config.updates.poll_seconds)
        self.serving.load_active()  # those whose damaged bytes have come again
        self.trying.hold = 0.0
        self.trying.all(self.trying.due())


def _facts(record: Record) -> dict[str, Any]:
    manifest = record.manifest
    return {
        "model": record.model,
        "version": record.version,
        "state": str(record.state),
        "attempts": record.attempts,
        "reason": record.reason,
        "changed": record.changed,
        "watch_until": record.watch_until if record.state is State.ACTIVE else 0.0,
        "bytes": manifest.file.length,
        "sha256": manifest.file.sha256,
        "notes": manifest.notes,
    }


def wanted(config: Config, state: Path) -> bool:
    """Whether this daemon has anything to do with updates: it is configured to, or was once."""
    it = config.updates
    return bool(it.url or it.root) or (state / "updates" / "store.db").exists()
