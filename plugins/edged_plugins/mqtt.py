"""A hint over MQTT that a repository has news: a message on the channel's topic means "poll now", and
nothing else.

Nothing in a message is read, let alone trusted: what is new, and whether it may be taken, is in the signed
repository only. The broker is spoken to by a child process (`mqtt_child`) with a bound on its memory, which
tells us no more than that a message came; so neither a broker's bytes nor a network reach the daemon. The
daemon polls at most once in ten seconds however many messages come, and polls as usual when none do.

    [plugins.options.mqtt]
    host = "broker.example"      # "" = off
    port = 8883
    tls = true
    topic = ""                   # "" = edged/update/CHANNEL
    username = ""
    password_file = ""           # a file that only edged may read
    spread_seconds = 10.0        # polls of a fleet are spread over this time
"""

from __future__ import annotations

import json
import logging
import random
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from edged.config import Config
from edged.errors import ConfigError
from edged.hookspecs import hookimpl

FIRST_WAIT, LONGEST_WAIT = 1.0, 300.0
READY, NEWS, LOST = "ready", "news", "lost"
log = logging.getLogger("edged.mqtt")


@dataclass(frozen=True, slots=True)
class Options:
    """[plugins.options.mqtt]."""

    host: str = ""
    port: int = 8883
    tls: bool = True
    topic: str = ""
    username: str = ""
    password_file: str = ""
    spread_seconds: float = 10.0


def options(config: Config) -> Options:
    """The table, checked. ConfigError names the key."""
    table = dict(config.plugins.options.get("mqtt", {}))
    known = {f.name: type(f.default) for f in fields(Options)}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"unknown key plugins.options.mqtt.{key}", remedy="known: " + ", ".join(known))
        if not isinstance(value, known[key]) and not (known[key] is float and type(value) is int):
            raise ConfigError(f"plugins.options.mqtt.{key} must be a {known[key].__name__}")
    found = Options(**table)
    topic = found.topic or f"edged/update/{config.updates.channel}"
    if "#" in topic or "+" in topic:
        raise ConfigError("plugins.options.mqtt.topic names one topic", remedy="leave out # and +")
    return Options(**{**asdict(found), "topic": topic})


def password(path: str) -> str:
    """The first line of a private file; "" for no file. ConfigError when others may read it."""
    if not path:
        return ""
    try:
        with Path(path).open() as file:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
            if mode & 0o077:
                raise ConfigError(
                    f"{path} may be read by others (mode {mode:o})", remedy=f"chmod 0400 {path}"
                )
            return file.readline().rstrip("\n")
    except OSError as error:
        raise ConfigError(f"plugins.options.mqtt.password_file: {path}: {error.strerror}") from None


class Listener:
    """The child and the thread that reads it; begun at once, ended by `stop`."""

    def __init__(self, order: Mapping[str, Any], spread: float, poll_now: Callable[[], None]) -> None:
        self.order, self.spread, self.poll_now = json.dumps(order).encode(), spread, poll_now
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="edged:mqtt", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the child and the thread."""
        self._stop.set()
        child = self._child
        if child is not None:
            child.kill()
        self._thread.join()

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            if self._listen():
                wait = FIRST_WAIT
            if self._stop.wait(wait):
                return
            wait = min(wait * 2, LONGEST_WAIT)

    def _listen(self) -> bool:
        """One child, until it ends; whether it was ever subscribed."""
        command = [sys.executable, "-m", "edged_plugins.mqtt_child"]
        ready = False
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            self._child = child
            if self._stop.is_set():
                child.kill()
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                child.stdin.write(self.order)
                child.stdin.close()
            except BrokenPipeError:
                pass  # it has gone; the next one may fare better
            for line in child.stdout:
                ready = self._take(line.decode(errors="replace").strip()) or ready
            self._child = None
        return ready

    def _take(self, line: str) -> bool:
        """One line of the child; whether it says that all is well."""
        word, _, rest = line.partition(" ")
        if word == NEWS:
            if not self._stop.wait(random.random() * self.spread):
                self.poll_now()
        elif word == READY:
            log.info("listening for hints on %s", rest)
        elif word == LOST:
            log.warning("no hints: %s; polls go on as usual", rest)
        return word in (READY, NEWS)


@hookimpl
def edged_watch_updates(config: Config, poll_now: Callable[[], None]) -> Callable[[], None] | None:
    """Listens when a host is configured."""
    found = options(config)
    if not found.host:
        return None
    secret = password(found.password_file)
    order = {**asdict(found), "password": secret}
    return Listener(order, found.spread_seconds, poll_now).stop
