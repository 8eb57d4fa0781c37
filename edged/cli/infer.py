"""`edged infer`: one run of a model file in this process."""

from __future__ import annotations

from pathlib import Path

import click

from edged import config as configuration
from edged.cli import through
from edged.cli.files import read_model
from edged.cli.tensors import hand_out, load_npz
from edged.graph.model import Model
from edged.graph.shapes import resize
from edged.runtime.house import Array, Call, House, by_position, seeded
from edged.runtime.loading import entry_graph
from edged.source import Source


def chosen_signature(model: Model, name: str | None) -> Model:
    """`model` with the signature `name` as its only one, and that one's graph as what is run."""
    if name is None:
        return model
    entry_graph(model, name)
    keep = tuple(s for s in model.signatures if s.name == name)
    return Model(model.graphs, keep, model.description, model.metadata, model.format)


def fitted(model: Model, inputs: list[Array]) -> Model:
    """`model` resized to the inputs where they have another shape than it stores."""
    graph, _, _ = entry_graph(model)
    other = {t.name: a.shape for t, a in zip(graph.inputs, inputs, strict=True) if a.shape != t.shape}
    return resize(model, other) if other else model


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--inputs", type=click.Path(path_type=Path), help=".npz with inputs by name or position; random without."
)
@click.option("--outputs", type=click.Path(path_type=Path), help=".npz to write the outputs to.")
@click.option(
    "--backend", "backends", multiple=True, default=("cpu",), show_default=True, help="Backends to use."
)
@click.option("--signature", help="Which of the model's signatures; the first without.")
@click.option("--seed", default=0, help="Of the random inputs.")
@click.option("--daemon", is_flag=True, help="MODEL is a name in the running daemon.")
@click.pass_obj
def infer(
    config_path: str | None,
    model: Path,
    inputs: Path | None,
    outputs: Path | None,
    backends: tuple[str, ...],
    signature: str | None,
    seed: int,
    daemon: bool,
) -> None:
    """Runs MODEL once and prints, or writes, its outputs."""
    if daemon:
        return through.infer(config_path, str(model), inputs, outputs, seed)
    source = chosen_signature(read_model(model, optimised=False), signature)
    graph, names, _ = entry_graph(source)
    arrays = by_position(names, graph.inputs, load_npz(inputs)) if inputs else seeded(graph.inputs, seed)
    source = fitted(source, arrays)
    house = House(configuration.load(config_path), only=backends)
    try:
        call = Call(house, house.load("model", Source(str(model), lambda: source)))
        results = call(arrays)
        call.close()
    finally:
        house.close()
    hand_out(results, outputs)
