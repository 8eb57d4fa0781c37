"""What `edged doctor` looks at outside edged: the unit, who may touch the sockets, groups, serial lines, the
clock, and whether updates can be reached. Each finding carries the command that mends it."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edged import config as configuration
from edged.config import Config
from edged.errors import EdgedError

SERIAL = ("/dev/ttyACM*", "/dev/ttyUSB*", "/dev/edged/*")
BUILT = Path(configuration.__file__)
"""A file of ours: no clock is right that stands before it was written."""
SAMPLES, DROPINS = "/usr/share/doc/edged/examples", "/etc/systemd/system/edged.service.d"
SYSTEMD = Path("/run/systemd/system")
UNIT_PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NRestarts", "Result")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it is well, what was seen, and the command or change that mends
    it."""

    what: str
    ok: bool
    seen: str
    remedy: str = ""


def unit(_config: Config) -> Iterator[Finding]:
    """The service, where systemd runs and knows it."""
    if not SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        return
    shown = _systemctl("show", "edged.service", *(f"-p{name}" for name in UNIT_PROPERTIES))
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        yield Finding("unit", True, "edged.service is not installed: edged runs by hand here")
        return
    active, enabled = found["ActiveState"] == "active", found["UnitFileState"] == "enabled"
    seen = f"{found['ActiveState']}, {found['UnitFileState']}, restarted {found['NRestarts']} times"
    remedy = "" if active else "sudo systemctl restart edged; then: journalctl -u edged -n 50"
    remedy = remedy or ("" if enabled else "sudo systemctl enable edged.socket edged-control.socket edged")
    yield Finding("unit", active and enabled, seen, remedy)
    for name in ("edged.socket", "edged-control.socket"):
        listening = _systemctl("is-active", name).strip() == "active"
        yield Finding(f"unit {name}", listening, "listening" if listening else "not listening",
                      "" if listening else f"sudo systemctl enable --now {name}")  # fmt: skip


def _systemctl(*words: str) -> str:
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=10).stdout


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user of a container that no file names
        return "NAME"


def sockets(config: Config) -> Iterator[Finding]:
    """Both sockets: are they there, and may this user connect?"""
    paths = configuration.client_paths(config)
    join = f"sudo usermod -aG edged {_user()}; then log in again"
    for what, path, remedy in (
        ("socket", paths.socket, f"sudo chmod 666 {paths.socket}, or ask whoever runs edged"),
        ("control socket", paths.control_socket, join),
    ):
        if not path.exists():
            yield Finding(what, True, f"{path} (no daemon runs)")
            continue
        mode = stat.filemode(path.stat().st_mode)
        allowed = os.access(path, os.W_OK)
        seen = f"{path}, {mode}, {'this user may connect' if allowed else 'this user may not connect'}"
        yield Finding(what, allowed, seen, "" if allowed else remedy)


def serial(config: Config) -> Iterator[Finding]:
    """Serial lines that are configured, or that boards seem to hang on: one finding each, however many names
    it has."""
    named = {mcu.port for mcu in config.mcu if mcu.port}
    lines: dict[str, list[str]] = {}
    for port in sorted({*named, *(p for pattern in SERIAL for p in glob.glob(pattern))}):
        lines.setdefault(os.path.realpath(port), []).append(port)
    for names in lines.values():
        port = min(names, key=lambda name: (name not in named, not name.startswith("/dev/edged/")))
        others = [name for name in names if name != port]
        yield _port(port, named, f" ({', '.join(others)})" if others else "")


def _port(port: str, named: set[str], others: str) -> Finding:
    if not os.path.exists(port):
        return Finding(f"port {port}", False, "[[mcu]] names it, and it is not there",
                       "plug the board in; `ls /dev/serial/by-id` shows what is")  # fmt: skip
    if not stat.S_ISCHR(os.stat(port).st_mode):
        return Finding(f"port {port}", port not in named, "is no serial port", "correct [[mcu]] port")
    allowed = os.access(port, os.R_OK | os.W_OK)
    remedy = f"sudo usermod -aG dialout {_user()}; then log in again"
    seen = "can be opened" if allowed else "this user may not open it"
    return Finding(f"port {port}{others}", allowed or port not in named, seen, "" if allowed else remedy)


def clock(_config: Config) -> Iterator[Finding]:
    """A clock that is wrong makes metadata of updates look expired, or fresh."""
    now = time.time()
    seen = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < BUILT.stat().st_mtime - 86400:
        yield Finding("clock", False, f"{seen}, before edged was built", "sudo timedatectl set-ntp true")
        return
    synchronised = _systemctl_clock()
    if synchronised is False:
        yield Finding("clock", True, f"{seen}, not synchronised", "sudo timedatectl set-ntp true")
    else:
        yield Finding("clock", True, seen)


def _systemctl_clock() -> bool | None:
    """What systemd says of the clock; None where it cannot be asked."""
    if not SYSTEMD.is_dir() or shutil.which("timedatectl") is None:
        return None
    command = ["timedatectl", "show", "-pNTPSynchronized", "--value"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
    return {"yes": True, "no": False}.get(answer)


def updates(config: Config) -> Iterator[Finding]:
    """Does the repository of models answer from here? (The service's sandbox may still forbid it the
    network.)"""
    url = config.updates.url
    if not url:
        return
    try:
        from edged import plugins
        from edged.models.feeds import open_feed

        feed = open_feed(url, lambda url: plugins.load(config).manager.hook.edged_open_update(url=url))
        try:
            _, pieces = feed.open("metadata/timestamp.json", 0, 1 << 16)
            size = sum(len(piece) for piece in pieces)
        finally:
            feed.close()
    except ImportError as error:
        yield Finding("updates", False, str(error), "pip install 'edged[updates]'")
    except EdgedError as error:
        remedy = "check [updates] url, the network, and the unit's drop-in examples/updates.conf"
        yield Finding("updates", False, str(error), error.remedy or remedy)
    else:
        yield Finding("updates", True, f"{url} answers ({size} bytes of timestamp)")


def _network(config: Config) -> list[str]:
    return ["updates.conf"] if config.updates.url.startswith(("http:", "https:")) else []


def _devices(config: Config) -> list[str]:
    samples = ["boards.conf"] if config.mcu else []
    return samples + sorted({f"npu-{npu.preset or 'VENDOR'}.conf" for npu in config.npu})


OPENINGS = (
    ("PrivateNetwork", _network, "[updates] url is on the network, which the unit keeps from edged"),
    ("PrivateDevices", _devices, "the configuration names devices, which the unit keeps from edged"),
)
"""What a configuration may need and the unit forbid: property, the drop-ins that open it, what is seen."""


def sandbox(config: Config) -> Iterator[Finding]:
    """The unit's sandbox against the configuration."""
    if not SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        return
    for name, wanted, seen in OPENINGS:
        samples = wanted(config)
        if samples and _systemctl("show", "edged.service", f"-p{name}", "--value").strip() == "yes":
            files = " ".join(f"{SAMPLES}/{sample}" for sample in samples)
            remedy = f"sudo install -D -m 644 -t {DROPINS} {files}; sudo systemctl daemon-reload"
            yield Finding(f"sandbox {name}", False, seen, f"{remedy}; sudo systemctl restart edged")


LOOKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (unit, sandbox, sockets, serial, clock, updates)
