"""Whether a version that serves on probation does well enough. Pure.

Golden cases show that a version computes what it should; only real requests show whether it lives with this
gateway's load. It is compared with the version before it, on the same gateway, shortly before.
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLES = 50
"""Requests before anything is concluded from them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """[updates] watch_errors (a share) and watch_slowdown (a factor, 0 for none)."""

    errors: float
    slowdown: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Requests since the version serves: ended well, failed by its own or a device's fault, and the median of
    the latest `samples` in microseconds."""

    good: int
    failed: int
    median_us: float
    samples: int


def verdict(now: Figures, before: Figures, limits: Limits) -> str:
    """Why the version is to be rolled back; "" while there is no reason. `before`: the version before it, its
    counts over its own life here."""
    total = now.good + now.failed
    if total >= SAMPLES and now.failed > limits.errors * total:
        return f"{now.failed} of its first {total} requests failed"
    if not limits.slowdown or now.samples < SAMPLES or before.samples < SAMPLES:
        return ""
    if now.median_us > limits.slowdown * before.median_us:
        return (
            f"its median request takes {now.median_us:.0f} us, {now.median_us / before.median_us:.1f} times "
            f"as long as the version before ({before.median_us:.0f} us)"
        )
    return ""
