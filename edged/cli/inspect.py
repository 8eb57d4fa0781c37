"""`edged check` and `edged show`: what a model file holds, or why it is refused."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from edged.cli.files import read_model
from edged.cli.tables import amount
from edged.errors import EdgedError
from edged.graph.lifetimes import graph_arena
from edged.graph.ops import table
from edged.graph.passes import optimise
from edged.graph.shapes import count_macs


@dataclass(frozen=True)
class Facts:
    """Counts of one file: operators as they stand in it, multiply-accumulates of one run, arena when
    optimised."""

    file: str
    ok: bool = True
    reason: str = ""
    graphs: int = 0
    ops: int = 0
    tensors: int = 0
    macs: int = 0
    constant_bytes: int = 0
    arena_bytes: int = 0
    opaque: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.ok:
            return f"{self.file}: refused: {self.reason}"
        needs = f", needs a backend for {', '.join(self.opaque)}" if self.opaque else ""
        return (
            f"{self.file}: ok, {self.ops} ops, {self.tensors} tensors, {amount(self.macs, 'MAC')}, "
            f"arena {amount(self.arena_bytes, 'B')}{needs}"
        )


def describe(path: Path) -> Facts:
    """The facts of a file, or why it is refused; never raises for what is in the file."""
    try:
        model = read_model(path, optimised=False)
        arena = graph_arena(optimise(model).main)
    except EdgedError as error:
        return Facts(str(path), ok=False, reason=str(error))
    known = table()
    return Facts(
        file=str(path),
        graphs=len(model.graphs),
        ops=sum(len(g.nodes) for g in model.graphs),
        tensors=sum(len(g.tensors) for g in model.graphs),
        macs=sum(count_macs(g) for g in model.graphs),
        constant_bytes=sum(len(t.data) for g in model.graphs for t in g.constants if t.data is not None),
        arena_bytes=arena,
        opaque=tuple(sorted({n.kind for g in model.graphs for n in g.nodes if n.kind not in known})),
    )


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Reads and verifies model FILES; exit status 1 if any is refused."""
    bad = False
    for path in files:
        facts = describe(path)
        bad = bad or not facts.ok
        click.echo(json.dumps(asdict(facts)) if as_json else str(facts))
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
