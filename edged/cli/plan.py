"""`edged plan` and `edged tune`: where every node of a model would run, why, and how long it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from edged import config as configuration
from edged.backend import PrepareContext, Subgraph
from edged.cli import through
from edged.cli.files import read_model
from edged.cli.local import load_file, opened, pairs
from edged.cli.plan_text import render
from edged.cli.tables import table
from edged.runtime.explain import explain


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--backend", "backends", multiple=True, help="Backends to use; all that are registered without."
)
@click.option("--pin", multiple=True, metavar="NODE=DEVICE", help="A node (by its output) or op -> device.")
@click.option("--require", multiple=True, metavar="DEVICE=SHARE", help="Least share of the MACs there.")
@click.option("--threads", type=int, help="Threads of the CPU backend.")
@click.option("--daemon", is_flag=True, help="MODEL is a name in the running daemon.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def plan(
    config_path: str | None,
    model: Path,
    backends: tuple[str, ...],
    pin: tuple[str, ...],
    require: tuple[str, ...],
    threads: int | None,
    daemon: bool,
    as_json: bool,
) -> None:
    """Shows MODEL's subgraphs, their devices, times, what crosses, and for every node the reason of its
    place."""
    if daemon:
        return through.plan(config_path, str(model), as_json)
    config = configuration.load(config_path)
    if threads is not None:
        config = replace(config, cpu=replace(config.cpu, threads=threads))
    shares = {name: float(share) for name, share in pairs(require, "--require").items()}
    with opened(config, backends or None) as house:
        entry = load_file(house, model, pin=pairs(pin, "--pin"), require=shares)
        facts = explain(house.registry.ready(entry)) | {"unopened": dict(house.closed)}
    click.echo(json.dumps(facts, indent=1) if as_json else render(facts))


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--backend", default="cpu", show_default=True)
@click.option("--threads", type=int, help="Threads of the CPU backend.")
@click.pass_obj
def tune(config_path: str | None, model: Path, backend: str, threads: int | None) -> None:
    """Measures the ways to compute each layer of MODEL here; later loads choose by the times."""
    config = configuration.load(config_path)
    if threads is not None:
        config = replace(config, cpu=replace(config.cpu, threads=threads))
    with opened(config, [backend]) as house:
        loaded = read_model(model)
        context = PrepareContext(configuration.threads(config), config.cpu.max_arena_bytes, house.cache)
        rows = []
        for layer in house.devices[0].backend.tune(context, Subgraph(loaded.main, loaded)):
            times = ", ".join(f"{option} {ns / 1000:.1f} us" for option, ns in sorted(layer.times.items()))
            rows.append((layer.where, layer.best, layer.estimated, times))
    click.echo(table(("layer", "best", "estimated best", "times"), rows))
    changed = sum(row[1] != row[2] for row in rows)
    click.echo(f"{len(rows)} layers with a choice, {changed} now choose otherwise; kept in {house.cache}")
