"""Choosing between ways to compute a node: by measured time where there is one, else by estimate, under a
limit of memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Option:
    """One way to compute a node: `nanoseconds` as estimated, and the arena bytes it needs for itself."""

    name: str
    nanoseconds: float
    temp_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen for a node, among what, and why; kept for `edged plan` and as a record for tuning."""

    where: str
    key: str
    options: tuple[Option, ...]
    chosen: str
    why: str
    also: str = ""
    """A second place whose time counts (the other node of a pair)."""
    forced: bool = False


def choose(
    where: str,
    key: str,
    options: Sequence[Option],
    limit: int = 0,
    measured: Mapping[str, float] | None = None,
    forced: str | None = None,
) -> Choice:
    """The fastest of the options that fit in `limit` bytes (0: no limit); the smallest when none does;
    `forced` over all.

    `measured`: nanoseconds by option name; they count only when every fitting option has one.
    """
    fitting = [o for o in options if not limit or o.temp_bytes <= limit]
    times = {o.name: (measured or {}).get(o.name, 0.0) for o in fitting}
    if forced in {o.name for o in options}:
        best, why = forced, "forced"
    elif not fitting:
        best, why = (
            min(options, key=lambda o: o.temp_bytes).name,
            f"least memory, since none fits in {limit} bytes",
        )
    else:
        word = "measured" if all(times.values()) else "estimated"
        if word == "estimated":
            times = {o.name: o.nanoseconds for o in fitting}
        best, why = min(times, key=lambda name: times[name]), f"{word} {_compare(times)}"
    assert best is not None
    return Choice(where, key, tuple(options), best, f"{best}: {why}", forced=why == "forced")


def _compare(times: Mapping[str, float]) -> str:
    ordered = sorted(times.items(), key=lambda pair: pair[1])
    return ", ".join(f"{name} {ns / 1000:.1f} us" for name, ns in ordered)
