"""`edged tune`: measures the ways to compute each layer of a model on this machine, and keeps the times
(`records`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edged.backend import Subgraph
from edged_backends.assemble import assemble
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.packing import aligned
from edged_backends.records import Records, load, save


@dataclass(frozen=True, slots=True)
class Tuned:
    """What `tune` found for one layer: nanoseconds by option, the one that was estimated best, and the one
    that is."""

    where: str
    key: str
    times: Mapping[str, float]
    estimated: str

    @property
    def best(self) -> str:
        return min(self.times, key=lambda option: self.times[option])


@dataclass
class Tuning:
    """Measures a subgraph's layers. `make` prepares it with an option forced per layer key."""

    make: Callable[[Mapping[str, str]], CpuDelegate]
    runs: int = 20
    times: Records = field(default_factory=dict)

    def measure(self) -> list[Tuned]:
        """Runs the whole program once per option number, so that each layer is measured among its
        neighbours."""
        choices = {c.key: c for c in self.make({}).program.choices if len(c.options) > 1}
        rounds = max((len(c.options) for c in choices.values()), default=0)
        for number in range(rounds):
            forced = {key: c.options[min(number, len(c.options) - 1)].name for key, c in choices.items()}
            delegate = self.make(forced)
            by_node = self._profile(delegate)
            for key, option in forced.items():
                self._note(key, option, by_node.get(choices[key].where, 0.0))
        return [Tuned(c.where, key, self.times[key], c.chosen) for key, c in choices.items()]

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


def tune(
    backend: CpuBackend, subgraph: Subgraph, cache_dir: str, threads: int = 1, runs: int = 20
) -> list[Tuned]:
    """Measures every layer of the subgraph that has a choice, and adds the records to the cache file."""

    def make(forced: Mapping[str, str]) -> CpuDelegate:
        program = assemble(
            subgraph, backend.kernels, threads=threads, max_arena_bytes=backend.max_arena_bytes, forced=forced
        )
        return backend.load(program, subgraph, threads)

    found = Tuning(make, runs).measure()
    records = load(cache_dir, backend.kernels)
    for layer in found:
        records.setdefault(layer.key, {}).update(layer.times)
    if cache_dir:
        save(cache_dir, backend.kernels, records)
    return found
