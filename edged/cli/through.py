"""What `infer`, `bench` and `plan` do with --daemon: the same for a model of the running daemon, by name."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter_ns

import click
import numpy as np

from edged import config as configuration
from edged.cli.plan_text import render
from edged.cli.remote import ask
from edged.cli.tensors import hand_out, load_npz
from edged_ipc import connect
from edged_ipc.messages import TensorSpec


def socket_of(config_path: str | None) -> str:
    """The apps' socket of the daemon."""
    return str(configuration.client_paths(configuration.load(config_path)).socket)


def random_inputs(specs: tuple[TensorSpec, ...], seed: int) -> dict[str, np.ndarray]:
    """Random bytes that are numbers of each input's dtype; floats from a normal distribution."""
    rng = np.random.default_rng(seed)
    made = {}
    for spec in specs:
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            made[spec.name] = rng.standard_normal(spec.shape).astype(dtype)
        else:
            made[spec.name] = rng.integers(0, 4, spec.shape).astype(dtype)
    return made


def plan(config_path: str | None, name: str, as_json: bool) -> None:
    """The plan that the daemon has made, with what it has measured since."""
    facts = ask(config_path, "plan", {"name": name})
    click.echo(json.dumps(facts, indent=1) if as_json else render(facts))


def infer(config_path: str | None, name: str, inputs: Path | None, outputs: Path | None, seed: int) -> None:
    """One request."""
    with connect(socket_of(config_path)) as client:
        model = client.open(name)
        results = model(load_npz(inputs) if inputs else random_inputs(model.inputs, seed))
    hand_out(results, outputs)


def bench(config_path: str | None, name: str, seconds: float, as_json: bool) -> None:
    """One client's latency, with the input filled in place beforehand."""
    with connect(socket_of(config_path)) as client:
        model = client.open(name)
        times: list[float] = []
        with model.slot() as slot:
            for key, array in random_inputs(model.inputs, 0).items():
                slot.inputs[key][...] = array
            end = perf_counter_ns() + int(seconds * 1e9)
            while len(times) < 20 or perf_counter_ns() < end:
                start = perf_counter_ns()
                slot.run()
                times.append((perf_counter_ns() - start) / 1e3)
    ordered = sorted(times)
    facts = {f"p{p}_us": ordered[min(len(ordered) * p // 100, len(ordered) - 1)] for p in (50, 95, 99)}
    text = ", ".join(f"{key.removesuffix('_us')} {value:.1f}" for key, value in facts.items())
    facts["runs"] = len(ordered)
    line = f"{name} through the daemon: {text} us ({len(ordered)} runs)"
    click.echo(json.dumps(facts) if as_json else line)
