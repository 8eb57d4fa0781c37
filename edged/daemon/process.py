"""The daemon process: builds the rooms, listens, tells systemd, and ends in order.

SIGTERM drains, SIGHUP reads the configuration again, the watchdog is fed only while every device's thread
comes round.
"""

from __future__ import annotations

import asyncio
import grp
import logging
import os
import pwd
import resource
import signal
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edged import config as configuration
from edged import journal, notify
from edged.config import Config, ModelConfig, Paths
from edged.daemon.configured import follow, load_missing
from edged.daemon.control import Control
from edged.daemon.policy import Policy, compile_rules
from edged.daemon.service import HouseService
from edged.daemon.updates import Updates, wanted
from edged.errors import EdgedError
from edged.runtime.house import House
from edged.runtime.registry import total_in_flight
from edged_ipc.listening import Identity, adopt, bind, identity, withdraw
from edged_ipc.messages import Limits
from edged_ipc.server import Server

log = logging.getLogger("edged")
HOUSEKEEPING = 5.0
SWITCH_SECONDS = 0.0005  # Python's 5 ms would be the tail of every reply that meets a busy thread
STUCK = 10.0


class _Lines(logging.Handler):
    """Keeps the latest log lines for `edged logs`."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        self.lines.append(f"{stamp} {record.levelname.lower()} {record.getMessage()}")


class Daemon:
    """One running daemon. `run` returns when it has been told to stop and has drained."""

    def __init__(self, config: Config, config_path: str | None) -> None:
        self.config, self.config_path = config, config_path
        sys.setswitchinterval(SWITCH_SECONDS)
        _raise_descriptor_limit()
        self.paths: Paths = configuration.paths(config)
        self.lines: deque[str] = deque(maxlen=1000)
        self.notifier = notify.from_environment()
        self.sockets = notify.listen_fds()
        journal.set_up(config.daemon.log_level)
        log.addHandler(_Lines(self.lines))
        self.work = ThreadPoolExecutor(2, "edged:work")
        self.house = House(config, state=self.paths.state, cache=str(self.paths.cache), log=journal.say)
        self.house.arrived = self._load_soon
        self.stop = asyncio.Event()
        self.control = Control(self.house, self.lines, time.time(), self._reload_soon, self._clients)
        self.updates = self._updates()
        self.control.updates = self.updates
        self.service = HouseService(
            self.house, self.control, self._policy(config), _limits(config), self.work
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_sockets: list[tuple[Path, Identity]] = []

    def _updates(self) -> Updates | None:
        """None where updates are not configured; a store that cannot be used leaves the models as they
        are."""
        if not wanted(self.config, self.paths.state):
            return None
        try:
            return Updates(self.house, self.config, self.paths.state, log.info)
        except EdgedError as error:
            log.error("no updates: %s", error)
            return None

    def _policy(self, config: Config) -> Policy:
        return compile_rules(
            config.policy,
            lambda name: pwd.getpwnam(name).pw_uid,
            lambda name: grp.getgrnam(name).gr_gid,
            os.geteuid(),
        )

    def _clients(self) -> list[dict[str, object]]:
        return self.service.clients()

    async def run(self) -> None:
        """Loads the configured models, serves, and drains when told to stop."""
        self._loop = loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        connections = self.config.limits.connections
        server = Server(self.service, loop, _report, connections=connections, user_connections=connections)
        try:
            self._listen(server)
            await loop.run_in_executor(self.work, self._load_configured)
            if self.updates is not None:
                self.updates.start()
            server.start()
            self.notifier.ready(self._status())
            log.info("ready on %s", self.paths.socket)
            keeper = asyncio.create_task(self._keep())
            await self.stop.wait()
            keeper.cancel()
            await self._drain(server)
        finally:
            for path, made in self._own_sockets:  # before nobody answers on them: then they are up for grabs
                withdraw(path, made)
            await loop.run_in_executor(None, server.stop)
            if self.updates is not None:
                await loop.run_in_executor(None, self.updates.stop)
            await loop.run_in_executor(None, self.house.close)
            self.work.shutdown()
            self.service.looks.shutdown()
            self.notifier.close()

    def _listen(self, server: Server) -> None:
        """On the sockets that systemd hands over, else on our own; clients may queue before models are
        there."""
        group = _group("edged")
        for name, path, mode in (
            ("apps", self.paths.socket, 0o666),
            ("control", self.paths.control_socket, 0o600 if group is None else 0o660),
        ):
            given = next((fd for key, fd in self.sockets.items() if name in key), None)
            if given is not None:
                server.listen(adopt(given, name), name)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            server.listen(bind(path, mode, group=group if name == "control" else None), name)
            self._own_sockets.append((path, identity(path)))

    def _load_configured(self) -> None:
        """What updates have made active first: it wins over a [[model]] of the same name."""
        if self.updates is not None:
            try:
                self.updates.serving.load_active()
            except EdgedError as error:
                log.error("models from updates are not loaded: %s", error)
        load_missing(self.house, self.config.model)

    def _follow(self, before: tuple[ModelConfig, ...]) -> None:
        """The models that the configuration names now, after those that it named `before`."""
        updated = self.updates.names() if self.updates is not None else ()
        follow(self.house, before, self.config.model, updated)
        self._load_configured()

    def _load_soon(self) -> None:
        """Some configured models may have waited for a device that has come."""
        self.work.submit(self._load_configured)

    def _reload_soon(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.reload)

    def reload(self) -> None:
        """Reads the configuration again: policy, limits and models change; devices and sockets need a
        restart."""
        self.notifier.reloading(time.monotonic_ns() // 1000)
        try:
            config = configuration.load(self.config_path)
            policy = self._policy(config)
        except EdgedError as error:
            log.error("the configuration stays as it was: %s", error)
            self.notifier.ready(self._status())
            return
        if (config.daemon, config.cpu, config.npu, config.mcu) != (
            self.config.daemon, self.config.cpu, self.config.npu, self.config.mcu,
        ):  # fmt: skip
            log.warning("sockets and devices change only with a restart")
        before, self.config = self.config.model, config
        if self.updates is not None:
            self.updates.set_config(config)
        self.service.policy, self.service.limits = policy, _limits(config)
        self.house.registry.memory_bytes = config.limits.memory_bytes
        self.work.submit(self._follow, before)
        log.info("configuration read again")
        self.notifier.ready(self._status())

    def _status(self) -> str:
        up = ", ".join(d.name for d in self.house.devices if d.up) or "none"
        return f"{len(self.house.registry.entries)} models, devices up: {up}"

    async def _keep(self) -> None:
        """Feeds the watchdog while every device comes round, and saves measured costs now and then."""
        interval = min(self.notifier.watchdog_seconds / 3 or HOUSEKEEPING, HOUSEKEEPING)
        saved = time.monotonic()
        while True:
            await asyncio.sleep(interval)
            stuck = self.house.stuck(self.config.limits.run_seconds + STUCK)
            if stuck:
                log.error("device %s does not come back; the watchdog is not fed", stuck)
            else:
                self.notifier.alive()
                self.notifier.status(self._status())
            if time.monotonic() - saved > 60:
                saved = time.monotonic()
                self.work.submit(self._save)

    def _save(self) -> None:
        try:
            self.house.registry.record_measurements()
        except OSError as error:
            log.warning("measured costs could not be saved: %s", error)

    async def _drain(self, server: Server) -> None:
        self.notifier.stopping()
        log.info("stopping: no new requests, those in flight end")
        loop = asyncio.get_running_loop()
        seconds = self.config.daemon.drain_seconds
        if not await loop.run_in_executor(None, server.drain, seconds):
            left = total_in_flight(list(self.house.registry.entries.values()))
            log.warning("%d requests did not end within %.0f s", left, seconds)


def _raise_descriptor_limit() -> None:
    """As many descriptors as the hard limit allows: a client holds one, and one for each area of slots."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _report(text: str, error: BaseException | None) -> None:
    """What goes wrong with a connection: a defect of ours with its traceback, a peer's mistake in one
    line."""
    if error is None:
        log.info("%s", text)
    else:
        log.error("%s: %s", text, error, exc_info=error)


def _limits(config: Config) -> Limits:
    return Limits(connections=config.limits.connections, inline_bytes=config.limits.message_bytes)


def _group(name: str) -> int | None:
    """The group that may use the control socket beside its owner; None where it is not there, or not ours to
    give."""
    try:
        gid = grp.getgrnam(name).gr_gid
    except KeyError:
        return None
    return gid if os.geteuid() == 0 or gid in os.getgroups() else None
