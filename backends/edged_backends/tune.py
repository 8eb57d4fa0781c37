"""`edged tune`: measures the ways to compute each layer of a model on this machine, and keeps the times
(`records`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edged.backend import PrepareContext, Subgraph, TunedLayer
from edged_backends.assemble import assemble
from edged_backends.choices import Choice
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.packing import aligned
from edged_backends.records import Records, load, save


@dataclass
class Tuning:
    """Measures a subgraph's layers. `make` prepares it with an option forced per layer key."""

    make: Callable[[Mapping[str, str]], CpuDelegate]
    runs: int = 20
    times: Records = field(default_factory=dict)

    def measure(self) -> list[TunedLayer]:
        """Runs the whole program once per option number, so that each layer is measured among its
        neighbours."""
        choices = {c.key: c for c in self.make({}).program.choices if len(c.options) > 1}
        rounds = max((len(c.options) for c in choices.values()), default=0)
        for number in range(rounds):
            forced = {key: c.options[min(number, len(c.options) - 1)].name for key, c in choices.items()}
            delegate = self.make(forced)
            by_node = self._profile(delegate)
            for key, option in forced.items():
                took = by_node.get(choices[key].where, 0.0) + by_node.get(choices[key].also, 0.0)
                self._note(key, option, took)
        return [self._layer(choice) for choice in choices.values()]

    def _layer(self, choice: Choice) -> TunedLayer:
        times = self.times[choice.key]
        return TunedLayer(choice.where, times, choice.chosen, min(times, key=lambda option: times[option]))

    def _note(self, key: str, option: str, nanoseconds: float) -> None:
        seen = self.times.setdefault(key, {})
        seen[option] = min(nanoseconds, seen.get(option, nanoseconds))

    def _profile(self, delegate: CpuDelegate) -> dict[str, float]:
        rng = np.random.default_rng(0)
        inputs = []
        for tensor in delegate.inputs:
            raw = aligned(tensor.nbytes)
            raw[:] = rng.integers(0, 60, tensor.nbytes, np.uint8)  # as float32: small and finite
            inputs.append(raw.data)
        outputs = [aligned(t.nbytes).data for t in delegate.outputs]
        delegate.profile(inputs, outputs, 3)
        total: dict[str, float] = {}
        for line in delegate.profile(inputs, outputs, self.runs):
            total[line.where] = total.get(line.where, 0.0) + line.nanoseconds
        return total


def tune(backend: CpuBackend, ctx: PrepareContext, subgraph: Subgraph, runs: int = 20) -> list[TunedLayer]:
    """Measures every layer of the subgraph that has a choice, and adds the times to the records of this
    CPU."""
    limit = ctx.max_arena_bytes or backend.max_arena_bytes

    def make(forced: Mapping[str, str]) -> CpuDelegate:
        program = assemble(
            subgraph,
            backend.kernels,
            threads=ctx.threads,
            max_arena_bytes=limit,
            forced=forced,
            l2_bytes=backend.l2_bytes,
        )
        return backend.load(program, subgraph, ctx.threads)

    tuning = Tuning(make, runs)
    found = tuning.measure()
    if ctx.cache_dir and found:
        records = load(ctx.cache_dir, backend.kernels)
        for key, times in tuning.times.items():
            records.setdefault(key, {}).update(times)
        save(ctx.cache_dir, backend.kernels, records)
    return found
