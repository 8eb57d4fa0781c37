"""edged.toml as frozen dataclasses, and the only reader of the environment.

Every key has a default, so an empty file is a working configuration. An unknown key is an error that names
the nearest known one;
a value of the wrong type an error that names the key. `SAMPLE` (edged/edged.toml) documents all of them.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from edged.errors import ConfigError

SAMPLE = Path(__file__).with_name("edged.toml")
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """[daemon]: where it listens and keeps things. Empty paths: the usual ones (see `Paths`)."""

    socket: str = ""
    control_socket: str = ""
    state_dir: str = ""
    runtime_dir: str = ""
    log_level: str = "info"
    drain_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class CpuConfig:
    """[cpu]: the built-in C kernels. threads 0: as many as this process may use, 4 at most."""

    threads: int = 0
    arch_mask: str = ""
    max_arena_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """[limits]: what the daemon takes on before it answers Busy or evicts."""

    memory_bytes: int = 256 * MIB
    queue_length: int = 256
    connections: int = 256
    message_bytes: int = 64 * MIB
    run_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """[[model]]: one to be loaded at start. `pin` maps a node's output tensor, or an op, to a device;
    `require` a device to a least share of MACs."""

    name: str = ""
    path: str = ""
    pin: Mapping[str, str] = field(default_factory=dict)
    require: Mapping[str, float] = field(default_factory=dict)
    batch: int = 1
    batch_wait_us: int = 0
    keep: bool = False
    priority: int = 16


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """[[policy]]: what a peer may do. The first rule that matches its uid or one of its groups counts; users
    and groups by name or number."""

    user: str = ""
    group: str = ""
    models: tuple[str, ...] = ("*",)
    infer: bool = True
    load: bool = False
    control: bool = False
    sessions: int = 64
    bytes: int = 256 * MIB
    in_flight: int = 64


@dataclass(frozen=True, slots=True)
class NpuConfig:
    """[[npu]]: a TFLite external delegate, run in a child process of its own."""

    name: str = ""
    preset: str = ""
    library: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    ops: tuple[str, ...] = ()
    isolate: bool = True
    hang_seconds: float = 5.0
    memory_bytes: int = 1024 * MIB
    parity: float = 0.0
    parity_limit: float = 0.0


@dataclass(frozen=True, slots=True)
class McuConfig:
    """[[mcu]]: a microcontroller on a serial line; the device is called mcu:NAME, or mcu:PORT without a
    name."""

    name: str = ""
    port: str = ""
    target: str = ""
    baud: int = 115200
    patience_seconds: float = 3.0
    run_seconds: float = 10.0
    programs: str = ""


@dataclass(frozen=True, slots=True)
class UpdatesConfig:
    """[updates]: the signed repository that models come from. url "" turns polls off; a model that came this
    way wins over a [[model]] of the same name, whose other keys it takes over."""

    url: str = ""
    channel: str = "stable"
    models: tuple[str, ...] = ()
    device: str = ""
    poll_seconds: float = 3600.0
    jitter: float = 0.2
    root: str = ""
    keys: str = ""
    quota_bytes: int = 1024 * MIB
    trial_seconds: float = 60.0
    watch_seconds: float = 600.0
    watch_errors: float = 0.05
    watch_slowdown: float = 3.0
    pin: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PluginsConfig:
    """[plugins]: plugins that are not to be loaded, and their own tables."""

    disable: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """All of edged.toml."""

    daemon: DaemonConfig = DaemonConfig()
    cpu: CpuConfig = CpuConfig()
    limits: LimitsConfig = LimitsConfig()
    model: tuple[ModelConfig, ...] = ()
    policy: tuple[PolicyConfig, ...] = ()
    npu: tuple[NpuConfig, ...] = ()
    mcu: tuple[McuConfig, ...] = ()
    updates: UpdatesConfig = UpdatesConfig()
    plugins: PluginsConfig = PluginsConfig()


def _check_keys(table: Mapping[str, Any], kind: Any, where: str) -> None:
    """ConfigError for the first key that `kind` does not have, naming the nearest that it has."""
    hints = get_type_hints(kind)
    for key, value in table.items():
        path = f"{where}.{key}" if where else key
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(sorted(hints))
            raise ConfigError(f"unknown key {path!r}", remedy=remedy)
        inner = next((a for a in (hints[key], *get_args(hints[key])) if is_dataclass(a)), None)
        for entry in value if isinstance(value, list) else [value]:
            if inner is not None and isinstance(entry, dict):
                _check_keys(entry, inner, path)


def _check_boards(boards: Sequence[McuConfig]) -> None:
    """ConfigError for a number that no line has, and for two tables of one name or one port."""
    for board in boards:
        for key in ("baud", "patience_seconds", "run_seconds"):
            if not 0 < getattr(board, key) < 1 << 31:
                where = f"[[mcu]] {board.name or board.port!r}"
                raise ConfigError(f"{where}: {key} is {getattr(board, key)}", remedy="it is more than 0")
    ports = [board.port for board in boards if board.port]
    for what, values in (("are named", [b.name or b.port for b in boards]), ("have the port", ports)):
        twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
        if twice is not None:
            raise ConfigError(
                f"two [[mcu]] tables {what} {twice!r}", remedy="a board has one table and one name"
            )


def parse(text: str, source: str = "edged.toml") -> Config:
    """The configuration in `text`. ConfigError names `source`, the key and what it should be."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from None
    try:
        _check_keys(table, Config, "")
        made = msgspec.convert(table, Config)
        _check_boards(made.mcu)
        return made
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {str(error).replace('$.', '')}") from None
    except ConfigError as error:
        raise ConfigError(f"{source}: {error.message}", remedy=error.remedy) from None


def load(path: str | Path | None) -> Config:
    """The configuration of a file; None takes $EDGED_CONFIG, /etc/edged/edged.toml, or the defaults."""
    chosen = path or os.environ.get("EDGED_CONFIG")
    if chosen is None:
        usual = Path("/etc/edged/edged.toml")
        if not usual.is_file():
            return Config()
        chosen = usual
    try:
        return parse(Path(chosen).read_text(encoding="utf-8"), str(chosen))
    except OSError as error:
        raise ConfigError(f"cannot read {chosen}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{chosen}: not UTF-8 text (byte {error.start})") from None


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things are: /run/edged and /var/lib/edged for root or under systemd, the XDG folders for anybody
    else."""

    socket: Path
    control_socket: Path
    state: Path
    runtime: Path
    cache: Path


def paths(config: Config, environ: Mapping[str, str] | None = None, uid: int | None = None) -> Paths:
    """The folders that `config` names, or the usual ones of this user."""
    env = os.environ if environ is None else environ
    root = (os.geteuid() if uid is None else uid) == 0
    home = Path(env.get("HOME", "/"))
    runtime = (
        config.daemon.runtime_dir
        or env.get("RUNTIME_DIRECTORY")
        or ("/run/edged" if root else f"{env.get('XDG_RUNTIME_DIR', '/tmp')}/edged")
    )
    state = (
        config.daemon.state_dir
        or env.get("STATE_DIRECTORY")
        or ("/var/lib/edged" if root else f"{env.get('XDG_STATE_HOME', home / '.local/state')}/edged")
    )
    cache = env.get("CACHE_DIRECTORY") or (
        "/var/cache/edged" if root else f"{env.get('XDG_CACHE_HOME', home / '.cache')}/edged"
    )
    base = Path(runtime)
    return Paths(
        socket=Path(config.daemon.socket or env.get("EDGED_SOCKET") or base / "edged.sock"),
        control_socket=Path(
            config.daemon.control_socket or env.get("EDGED_CONTROL") or base / "control.sock"
        ),
        state=Path(state),
        runtime=base,
        cache=Path(cache),
    )


SYSTEM_RUNTIME = Path("/run/edged")


def client_paths(config: Config) -> Paths:
    """Where to find a running daemon: this user's, or the system's where this user runs none."""
    own = paths(config)
    system = SYSTEM_RUNTIME / "edged.sock", SYSTEM_RUNTIME / "control.sock"
    if own.socket.exists() or not system[0].exists():
        return own
    return replace(own, runtime=SYSTEM_RUNTIME, socket=system[0], control_socket=system[1])


def arch_mask(config: Config) -> str:
    """The instruction sets that kernels are limited to: `[cpu] arch_mask`, or $EDGED_ARCH_MASK over it; ""
    for no limit."""
    return os.environ.get("EDGED_ARCH_MASK", config.cpu.arch_mask)


def device_id(config: Config) -> str:
    """What this device is called in rollouts: `[updates] device`, or a digest of /etc/machine-id, which
    itself is to stay on the machine (machine-id(5)); "" where there is none."""
    if config.updates.device:
        return config.updates.device
    try:
        machine = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        return ""
    return hashlib.sha256(b"edged rollout " + machine).hexdigest()[:32] if machine else ""


def key_folders(config: Config) -> list[Path]:
    """Where keys of sealed models are looked for: systemd's credentials, then `[updates] keys`."""
    named = (os.environ.get("CREDENTIALS_DIRECTORY", ""), config.updates.keys)
    return [Path(folder) for folder in named if folder]


def threads(config: Config) -> int:
    """Worker threads of the CPU backend."""
    return config.cpu.threads or min(4, len(os.sched_getaffinity(0)))


def defaults(kind: Any) -> dict[str, Any]:
    """Key -> default of one table's dataclass; what the documentation test holds against the sample file."""
    made = {}
    for entry in fields(kind):
        factory = entry.default_factory
        made[entry.name] = entry.default if factory is MISSING else factory()
    return made


def secret(name: str) -> str | None:
    """An environment variable that the publisher's key index names, such as the key of a CI's role."""
    return os.environ.get(name)


def passphrase() -> str | None:
    """$EDGED_PASSPHRASE, which opens the publisher's keys where nobody can be asked."""
    return os.environ.get("EDGED_PASSPHRASE")
