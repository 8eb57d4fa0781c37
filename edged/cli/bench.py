"""`edged bench`: how fast a model runs here."""

from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import click

from edged import config as configuration
from edged.cli.local import load_file, opened
from edged.cli.tables import table
from edged.graph.shapes import count_macs, node_macs
from edged.runtime.house import Call, seeded


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` of an ordered sample stays at or below."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def time_runs(call: Call, seconds: float) -> list[float]:
    """Microseconds of single delegate runs for about `seconds`, at least 20, ordered."""
    loaded = call.loaded
    binding = call.session.binding(0, loaded)
    contexts = call.session.contexts(loaded)
    times: list[float] = []
    end = perf_counter_ns() + int(seconds * 1e9)
    while len(times) < 20 or perf_counter_ns() < end:
        start = perf_counter_ns()
        for step, ctx, (ins, outs) in zip(loaded.steps, contexts, binding.steps, strict=True):
            step.delegate.run(ctx, ins, outs)
        times.append((perf_counter_ns() - start) / 1e3)
    return sorted(times)


def measure(call: Call, seconds: float) -> dict[str, Any]:
    """Warm-up, then figures; memory is that of this process."""
    loaded = call.loaded
    for view, array in zip(call.views(loaded.graph.inputs, 0), seeded(loaded.graph.inputs), strict=True):
        view[...] = array
    time_runs(call, seconds / 10)
    times = time_runs(call, seconds)
    macs = count_macs(loaded.graph)
    p50 = percentile(times, 0.50)
    return {
        "model": loaded.name,
        "devices": [step.device.name for step in loaded.steps],
        "runs": len(times),
        "p50_us": p50,
        "p95_us": percentile(times, 0.95),
        "p99_us": percentile(times, 0.99),
        "macs": macs,
        "gmacs_per_second": macs / p50 / 1e3,
        "resident_bytes": loaded.resident_bytes,
        "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def share_of_peak(call: Call, gmacs: float, threads: int) -> float | None:
    """The model's rate over what its device reaches on a large matrix product of the same kind; None for
    several devices, or where the device cannot tell."""
    loaded = call.loaded
    if len(loaded.steps) != 1:
        return None
    by_kind = {"int8": 0, "float32": 0}
    for node in loaded.graph.nodes:
        first = next((t for t in node.inputs if t is not None), None)
        floating = first is not None and first.dtype.is_float
        by_kind["float32" if floating else "int8"] += node_macs(node)
    peak = loaded.steps[0].device.backend.peak(threads)
    found = peak.get(max(by_kind, key=lambda kind: by_kind[kind]))
    return gmacs / found if found else None


def profile(call: Call) -> list[tuple[str, str, float, float]]:
    """(node, kernel, microseconds, GMAC/s or GB/s) of every step of every delegate that can tell."""
    loaded = call.loaded
    binding = call.session.binding(0, loaded)
    rows = []
    for step, (ins, outs) in zip(loaded.steps, binding.steps, strict=True):
        for line in step.delegate.profile(ins, outs, runs=50):
            rate = line.work / line.nanoseconds if line.nanoseconds else 0.0
            rows.append((line.where, line.kernel, line.nanoseconds / 1e3, rate))
    return rows


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--backend", "backends", multiple=True, default=("cpu",), show_default=True)
@click.option("--threads", type=int, default=1, show_default=True)
@click.option("--seconds", type=float, default=2.0, show_default=True)
@click.option("--profile", "profiled", is_flag=True, help="A table of where the time goes.")
@click.option("--daemon", is_flag=True, help="MODEL is a name in the running daemon.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_obj
def bench(
    config_path: str | None,
    model: Path,
    backends: tuple[str, ...],
    threads: int,
    seconds: float,
    profiled: bool,
    daemon: bool,
    as_json: bool,
) -> None:
    """Times MODEL in this process: latency, GMAC/s, memory."""
    if daemon:
        from edged.cli import through

        return through.bench(config_path, str(model), seconds, as_json)
    config = configuration.load(config_path)
    config = replace(config, cpu=replace(config.cpu, threads=threads))
    with opened(config, backends) as house:
        call = Call(house, load_file(house, model))
        facts = measure(call, seconds)
        facts["share_of_peak"] = share_of_peak(call, facts["gmacs_per_second"], threads)
        rows = profile(call) if profiled else []
        call.close()
    if as_json:
        click.echo(json.dumps({**facts, "profile": rows} if profiled else facts))
        return
    share = f" ({facts['share_of_peak']:.0%} of peak)" if facts["share_of_peak"] is not None else ""
    click.echo(
        f"{facts['model']} on {'+'.join(facts['devices'])}, {threads} thread{'s' * (threads > 1)}: "
        f"p50 {facts['p50_us']:.1f} us, p95 {facts['p95_us']:.1f}, p99 {facts['p99_us']:.1f} "
        f"({facts['runs']} runs)\n"
        f"{facts['gmacs_per_second']:.1f} GMAC/s{share}, {facts['resident_bytes']} bytes resident, "
        f"{facts['rss_bytes'] >> 20} MiB RSS"
    )
    if rows:
        click.echo(table(("node", "kernel", "us", "G/s"), rows))
