"""`edged check` and `edged show`: what a model file holds, or why it is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from edged.cli.files import read_model
from edged.cli.tables import amount
from edged.errors import EdgedError
from edged.graph.arena import plan_graph
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged.graph.shapes import count_macs


def describe(path: Path) -> dict[str, object]:
    """Counts of one file: operators as in the file, multiply-accumulates of one run, arena of the optimised main graph."""
    model = read_model(path, optimised=False)
    better = optimise(model)
    return {
        "file": str(path),
        "ok": True,
        "graphs": len(model.graphs),
        "ops": sum(len(g.nodes) for g in model.graphs),
        "tensors": sum(len(g.tensors) for g in model.graphs),
        "macs": sum(count_macs(g) for g in model.graphs),
        "constant_bytes": sum(len(t.data) for g in model.graphs for t in g.constants if t.data is not None),
        "arena_bytes": plan_graph(better.main).size,
        "opaque": _opaque(model),
    }


def _opaque(model: Model) -> list[str]:
    """Ops that have no meaning here: only a backend that claims them can run them."""
    from edged.graph.ops import table

    known = table()
    return sorted({n.kind for g in model.graphs for n in g.nodes if n.kind not in known})


def _line(facts: dict[str, object]) -> str:
    if not facts["ok"]:
        return f"{facts['file']}: refused: {facts['reason']}"
    text = (
        f"{facts['file']}: ok, {facts['ops']} ops, {facts['tensors']} tensors, {amount(float(str(facts['macs'])), 'MAC')}, "
        f"arena {amount(float(str(facts['arena_bytes'])), 'B')}"
    )
    opaque = facts["opaque"]
    return f"{text}, needs a backend for {', '.join(map(str, opaque))}" if isinstance(opaque, list) and opaque else text


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Reads and verifies model FILES; exit status 1 if any is refused."""
    bad = False
    for path in files:
        try:
            facts = describe(path)
        except EdgedError as error:
            facts, bad = {"file": str(path), "ok": False, "reason": str(error)}, True
        click.echo(json.dumps(facts) if as_json else _line(facts))
    sys.exit(1 if bad else 0)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--optimised", is_flag=True, help="After the passes, as backends get it.")
def show(model: Path, optimised: bool) -> None:
    """Prints MODEL's graphs as text, one line a node."""
    loaded = read_model(model, optimised=optimised)
    for signature in loaded.signatures:
        names = f"({', '.join(signature.inputs)}) -> ({', '.join(signature.outputs)})"
        click.echo(f"signature {signature.name}{names} = {loaded.graphs[signature.graph].name}")
    click.echo(str(loaded))
