"""Commands about model updates, to a running daemon: update, models, rollback, pin."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edged.cli.remote import ask
from edged.cli.tables import amount, table
from edged.errors import UpdateError

LOOK_SECONDS = 0.3
_JSON = click.option("--json", "as_json", is_flag=True)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _row(facts: Mapping[str, Any]) -> tuple[object, ...]:
    watched = f", watched until {_when(facts['watch_until'])}" if facts["watch_until"] else ""
    tries = f" ({facts['attempts']} attempts)" if facts["attempts"] and not watched else ""
    return (
        facts["model"], facts["version"], f"{facts['state']}{watched}{tries}", amount(facts["bytes"], "B"),
        _when(facts["changed"]), facts["reason"] or "-",
    )  # fmt: skip


def progress_text(facts: Mapping[str, Any]) -> str:
    """One line: what moves, how far, how fast."""
    share = 100.0 * facts["done"] / max(facts["total"], 1)
    return (
        f"{facts['model']} {facts['version']}: {amount(facts['done'], 'B')} of {amount(facts['total'], 'B')} "
        f"({share:.0f} %), {amount(facts['rate'], 'B/s')}"
    )


def models_text(facts: Mapping[str, Any]) -> str:
    """`edged models` for people."""
    poll = facts["poll"]
    last = f"{_when(poll['at'])}: {poll['result']}" if "at" in poll else poll["result"] or "none yet"
    lines = [
        f"channel {facts['channel']} of {facts['url'] or 'no url'}, device {facts['device'] or '?'}",
        f"last poll {last}; {amount(facts['bytes'], 'B')} of {amount(facts['quota_bytes'], 'B')} used",
        *(f"{model} is pinned to version {version}" for model, version in facts["pins"].items()),
        *(f"the candidate of {model} waits: {why}" for model, why in facts["waiting"].items()),
        *([progress_text(facts["progress"])] if facts["progress"] else []),
        *(f"{e['model']}: {e['reason']}" for e in poll["events"] if e["event"] in ("stays", "failed")),
        "",
        table(("model", "ver", "state", "size", "since", "reason"), [_row(v) for v in facts["versions"]]),
    ]
    return "\n".join(lines)


@click.command()
@_JSON
@click.pass_obj
def models(config_path: str | None, as_json: bool) -> None:
    """Versions from updates, their states, and why any was rolled back."""
    facts = ask(config_path, "models")
    click.echo(json.dumps(facts, indent=1) if as_json else models_text(facts))


@click.command()
@click.option("--now", is_flag=True, help="Do not wait for the end of it.")
@click.option(
    "--from", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with the repository (a stick) instead of [updates] url.",
)  # fmt: skip
@_JSON
@click.pass_obj
def update(config_path: str | None, now: bool, folder: Path | None, as_json: bool) -> None:
    """Polls the repository, and shows what comes and what becomes of it."""
    number = ask(config_path, "update", {"from": str(folder.resolve())} if folder else {})["asked"]
    if now:
        click.echo("a poll has been asked for: see `edged models`")
        return
    while True:
        facts = ask(config_path, "models")
        if facts["poll"]["done"] >= number:
            break
        if facts["progress"] and sys.stderr.isatty():
            click.echo(f"\r\033[K{progress_text(facts['progress'])}", nl=False, err=True)
        time.sleep(LOOK_SECONDS)
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo(json.dumps(facts, indent=1) if as_json else models_text(facts))
    if facts["poll"]["result"] != "done":
        raise UpdateError(facts["poll"]["result"])


@click.command()
@click.argument("model")
@click.pass_obj
def rollback(config_path: str | None, model: str) -> None:
    """Puts the version before back into service, and bars the one that serves."""
    facts = ask(config_path, "rollback", {"name": model})
    click.echo(f"{facts['model']} version {facts['version']} serves again")


@click.command()
@click.argument("model")
@click.argument("version", type=int, required=False)
@click.option("--off", is_flag=True, help="Follow the rollout again.")
@click.pass_obj
def pin(config_path: str | None, model: str, version: int | None, off: bool) -> None:
    """Holds a model at a version, whatever the rollout says, from the next poll on."""
    if (version is None) != off:
        raise click.UsageError("give a version, or --off")
    ask(config_path, "pin", {"name": model, "version": version})
    click.echo(f"{model} follows the rollout" if off else f"{model} is pinned to version {version}")
