"""`edged codegen`: a model as C that any firmware can build."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edged import config as configuration
from edged import plugins
from edged.backend import Subgraph
from edged.cli.tables import table
from edged.errors import ConfigError
from edged.exporter import ExporterEntry
from edged.graph.passes import optimise
from edged.source import read_model


def exporters(config_path: str | None) -> dict[str, ExporterEntry]:
    """Those that plugins register, by name."""
    loaded = plugins.load(configuration.load(config_path))
    found = loaded.manager.hook.edged_register_exporters(config=configuration.load(config_path))
    return {entry.name: entry for entries in found for entry in entries}


@click.command()
@click.argument("path", metavar="MODEL", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--target", default="cortex-m4", show_default=True, help="The CPU; `generic` for any.")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--name", default="model", show_default=True, help="What every public name in C begins with.")
@click.option("--force", is_flag=True, help="Into a folder that has files already.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def codegen(
    config_path: str | None, path: Path, target: str, output: Path, name: str, force: bool, as_json: bool
) -> None:
    """Writes MODEL as C: no interpreter, no heap; a Makefile, CMakeLists.txt and README.txt with it."""
    entry = exporters(config_path).get("c")
    if entry is None:
        raise ConfigError("no plugin makes C of models", remedy="is `codegen` disabled in [plugins]?")
    if output.exists() and any(output.iterdir()) and not force:
        raise ConfigError(f"{output} is not empty", remedy="give another folder, or --force")
    model = optimise(read_model(path))
    made = entry.export(Subgraph(model.main, model), target, name)
    for file, text in made.files.items():
        place = output / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text)
    facts = {"target": target, "folder": str(output), "files": str(len(made.files)), **made.facts}
    click.echo(json.dumps(facts, indent=1) if as_json else table(("what", "is"), list(facts.items())))
