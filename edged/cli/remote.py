"""Commands to a running daemon, over its control socket: load, unload, swap, status, ps, logs, reload."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edged import config as configuration
from edged.cli.local import pairs
from edged.cli.tables import amount, table


@contextmanager
def busy(text: str) -> Iterator[None]:
    """A dot a second on a terminal's stderr, for what takes longer than a second."""
    over = threading.Event()

    def dots() -> None:
        if over.wait(1.0):
            return
        click.echo(text, nl=False, err=True)
        while not over.wait(1.0):
            click.echo(".", nl=False, err=True)
        click.echo("", err=True)

    thread = threading.Thread(target=dots, daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.is_alive():
            thread.join()


def ask(config_path: str | None, name: str, body: Mapping[str, Any] | None = None) -> Any:
    """The daemon's answer to one control message."""
    from edged_ipc import connect

    paths = configuration.client_paths(configuration.load(config_path))
    with busy(f"{name} "), connect(str(paths.control_socket)) as client:
        return client.control(name, dict(body or {}))


def _print(facts: Any, as_json: bool, text: str) -> None:
    click.echo(json.dumps(facts, indent=1) if as_json else text)


_JSON = click.option("--json", "as_json", is_flag=True)


@click.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--name", help="What clients open; the file's stem without.")
@click.option("--pin", multiple=True, metavar="NODE=DEVICE")
@click.option("--require", multiple=True, metavar="DEVICE=SHARE")
@click.option("--batch", type=int, default=1, show_default=True)
@click.option("--keep", is_flag=True, help="Never evict it.")
@_JSON
@click.pass_obj
def load(
    config_path: str | None,
    path: Path,
    name: str | None,
    pin: tuple[str, ...],
    require: tuple[str, ...],
    batch: int,
    keep: bool,
    as_json: bool,
) -> None:
    """Loads the model of a file into the daemon."""
    shares = {device: float(share) for device, share in pairs(require, "--require").items()}
    body = {
        "path": str(path.resolve()),
        "name": name or path.stem,
        "pin": pairs(pin, "--pin"),
        "require": shares,
        "batch": batch,
        "keep": keep,
    }
    facts = ask(config_path, "load", body)
    _print(facts, as_json, _loaded(facts))


@click.command()
@click.argument("name")
@_JSON
@click.pass_obj
def unload(config_path: str | None, name: str, as_json: bool) -> None:
    """Takes a model away."""
    facts = ask(config_path, "unload", {"name": name})
    _print(facts, as_json, f"{name} unloaded")


@click.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--force", is_flag=True, help="Even when inputs or outputs change.")
@_JSON
@click.pass_obj
def swap(config_path: str | None, name: str, path: Path, force: bool, as_json: bool) -> None:
    """Puts another file behind a model's name, without dropping a request."""
    facts = ask(config_path, "swap", {"name": name, "path": str(path.resolve()), "force": force})
    _print(facts, as_json, _loaded(facts))


def _loaded(facts: Mapping[str, Any]) -> str:
    devices = ", ".join(facts["devices"])
    size = amount(facts["resident_bytes"], "B")
    return f"{facts['name']} version {facts['version']} on {devices}, {size}"


def status_text(facts: Mapping[str, Any]) -> str:
    """`edged status` for people."""
    lines = [
        f"edged {facts['version']}, pid {facts['pid']}, up {facts['uptime_seconds']:.0f} s, "
        f"{facts['rss_bytes'] >> 20} MiB RSS, models {amount(facts['memory_bytes'], 'B')} of "
        f"{amount(facts['memory_limit'], 'B')}, {facts['in_flight']} requests in flight",
        "",
        table(
            ("device", "state", "queue", "runs", "failed", "hung", "busy s", "reason"),
            [
                (
                    d["name"], d["state"], d["queue"], d["runs"], d["failures"], d["hangs"],
                    d["busy_seconds"], d["reason"],
                )
                for d in facts["devices"]
            ],
        ),
        *(f"backend {n} is not open: {r}" for n, r in facts["unopened"].items()),
        *(f"plugin {b['name']} ({b['provider']}) is skipped: {b['reason']}" for b in facts["broken_plugins"]),
        "",
        table(
            ("model", "state", "ver", "devices", "memory", "sessions", "ok", "other", "p50 us", "p99 us"),
            [_model_row(m) for m in facts["models"]],
        ),
        *(_parity_line(m["name"], m["parity"]) for m in facts["models"] if m["parity"]["checked"]),
    ]  # fmt: skip
    return "\n".join(lines)


def _parity_line(name: str, found: Mapping[str, Any]) -> str:
    """What comparing an NPU with our own kernels has shown of one model."""
    moved = f"; it has left {found['moved']}" if found["moved"] else ""
    return (
        f"parity of {name}: {found['differing']} of {found['checked']} requests differ, "
        f"{found['bytes_differing']} of {found['bytes_compared']} bytes, mean {found['steps_mean']:.3g}, "
        f"at most {found['steps_max']:.3g} steps{moved}"
    )


def _model_row(facts: Mapping[str, Any]) -> tuple[object, ...]:
    results = facts["requests"]
    other = sum(count for code, count in results.items() if code != "ok")
    return (
        facts["name"],
        facts["state"] if not facts["reason"] else f"{facts['state']}: {facts['reason']}",
        facts["version"],
        "+".join(facts["devices"]) or "-",
        amount(facts["resident_bytes"], "B"),
        facts["sessions"],
        results.get("ok", 0),
        other,
        facts["p50_us"],
        facts["p99_us"],
    )


@click.command()
@_JSON
@click.pass_obj
def status(config_path: str | None, as_json: bool) -> None:
    """Devices, models and figures of the daemon."""
    facts = ask(config_path, "status")
    _print(facts, as_json, status_text(facts))


@click.command()
@_JSON
@click.pass_obj
def ps(config_path: str | None, as_json: bool) -> None:
    """Open sessions of clients."""
    facts = ask(config_path, "ps")
    rows = [(c["pid"], c["uid"], c["model"], c["slots"], c["in_flight"]) for c in facts["clients"]]
    _print(facts, as_json, table(("pid", "uid", "model", "slots", "in flight"), rows))


@click.command()
@click.option("-n", "--count", default=100, show_default=True)
@_JSON
@click.pass_obj
def logs(config_path: str | None, count: int, as_json: bool) -> None:
    """The daemon's latest log lines."""
    facts = ask(config_path, "logs", {"count": count})
    _print(facts, as_json, "\n".join(facts["lines"]))


@click.command()
@_JSON
@click.pass_obj
def reload(config_path: str | None, as_json: bool) -> None:
    """Makes the daemon read its configuration again, as SIGHUP does."""
    facts = ask(config_path, "reload")
    _print(facts, as_json, "configuration read again")
