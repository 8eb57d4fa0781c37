"""What two runs of a model differ by, and what the difference means. No model is run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Calls = Sequence[Sequence[Array]]
RTOL, ATOL = 1e-5, 1e-6


@dataclass(frozen=True)
class Gap:
    """The largest differences over all outputs of all calls.

    `lsb`: of integers. `share`: of floats, relative to the largest value of their output. `strict`: of floats, in units
    of what is allowed each element by itself (1e-6 + 1e-5 of its value): 1 or less is within.
    """

    lsb: float = 0.0
    share: float = 0.0
    strict: float = 0.0

    def __or__(self, other: Gap) -> Gap:
        return Gap(max(self.lsb, other.lsb), max(self.share, other.share), max(self.strict, other.strict))

    @property
    def equal(self) -> bool:
        """To the bit."""
        return self.lsb == self.share == 0

    @property
    def within(self) -> bool:
        """Integers equal, floats within the tolerance, each or of the largest value of their output."""
        return self.lsb == 0 and self.share <= RTOL

    def __str__(self) -> str:
        return f"{self.lsb:g} LSB" if self.lsb else f"{self.share:.1e}" if self.share else "0"


APART = Gap(float("inf"), float("inf"), float("inf"))
"""Outputs of other shapes."""


def gap(ours: Calls, theirs: Calls) -> Gap:
    """Outputs of calls, compared in pairs."""
    whole = Gap()
    for results, expected in zip(ours, theirs, strict=True):
        for a, b in zip(results, expected, strict=True):
            whole |= _between(a, b)
    return whole


def _between(a: Array, b: Array) -> Gap:
    if a.shape != b.shape or a.dtype != b.dtype:
        return APART
    if not a.size:
        return Gap()
    if a.dtype.kind != "f":
        return Gap(
            lsb=float(np.abs(a.astype(object) - b.astype(object)).max())
            if a.dtype.itemsize > 4
            else _steps(a, b)
        )
    with np.errstate(invalid="ignore"):
        apart = np.abs(a.astype(np.float64) - b)
    apart = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, apart)
    if not np.isfinite(apart).all():
        return APART
    size = np.abs(np.where(np.isfinite(b), b, 0)).astype(np.float64)
    return Gap(
        0, float(apart.max()) / max(float(size.max()), 1.0), float((apart / (ATOL + RTOL * size)).max())
    )


def _steps(a: Array, b: Array) -> float:
    return float(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())
