"""Golden cases replayed on this device: does a version answer here what its publisher recorded, and fast
enough?

Layout of the blob: case after case, the raw inputs and then the outputs, little-endian, in the order of the
signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from edged.graph.arrays import numpy_dtype
from edged.graph.model import Tensor
from edged.models.errors import TrialError
from edged.models.manifest import Manifest, TensorSpec
from edged.runtime.house import Call

ROUNDS = 3
"""Runs of each case; the quickest counts, so that a busy moment of the gateway condemns nobody."""

Array = np.ndarray[Any, np.dtype[Any]]


class LateError(TrialError):
    """Right, but not in time."""


def check_signature(call: Call, manifest: Manifest) -> None:
    """TrialError when the file's inputs or outputs are not those of the manifest."""
    loaded = call.loaded
    pairs = (
        ("input", loaded.input_names, loaded.graph.inputs, manifest.inputs),
        ("output", loaded.output_names, loaded.graph.outputs, manifest.outputs),
    )
    for what, names, tensors, signed in pairs:
        if len(tensors) != len(signed):
            raise TrialError(f"the file has {len(tensors)} {what}s, its manifest names {len(signed)}")
        for name, tensor, spec in zip(names, tensors, signed, strict=True):
            if not _fits(name, tensor, spec):
                shape = "x".join(map(str, tensor.shape))
                raise TrialError(
                    f"{what} {name!r} is {tensor.dtype}[{shape}], its manifest says {spec.name!r} "
                    f"{spec.dtype}[{'x'.join(map(str, spec.shape))}]"
                )


def _fits(name: str, tensor: Tensor, spec: TensorSpec) -> bool:
    """-1 in the manifest stands for any size."""
    return (
        name == spec.name
        and str(tensor.dtype) == spec.dtype
        and len(tensor.shape) == len(spec.shape)
        and all(s in (-1, d) for s, d in zip(spec.shape, tensor.shape, strict=True))
    )


def replay(call: Call, manifest: Manifest, data: memoryview) -> float:
    """Runs every case; the median latency in microseconds. TrialError names the case and output that differ,
    or the latency."""
    loaded, golden = call.loaded, manifest.golden
    tensors = (*loaded.graph.inputs, *loaded.graph.outputs)
    size = sum(t.nbytes for t in tensors)
    if len(data) != size * golden.cases:
        raise TrialError(
            f"the golden blob has {len(data)} bytes, {golden.cases} cases of this model have "
            f"{size * golden.cases}"
        )
    seconds = []
    for case in range(golden.cases):
        arrays = _arrays(data[case * size : (case + 1) * size], tensors)
        inputs, expected = arrays[: len(loaded.graph.inputs)], arrays[len(loaded.graph.inputs) :]
        took, outputs = _run(call, inputs)
        seconds.append(took)
        for name, output, wanted in zip(loaded.output_names, outputs, expected, strict=True):
            compare(f"golden case {case}, output {name!r}", output, wanted, golden.tolerance)
    took = median(seconds) * 1e6
    if golden.latency_us and took > golden.latency_us:
        raise LateError(f"the median golden case takes {took:.0f} us, the limit is {golden.latency_us} us")
    return took


def _run(call: Call, inputs: Sequence[Array]) -> tuple[float, list[Array]]:
    """The quickest of some runs, and the outputs of the first: a model that remembers is reset in between."""
    first: list[Array] = []
    best = float("inf")
    for _round in range(ROUNDS):
        call.session.reset()
        begun = perf_counter()
        answers = call(inputs)
        best = min(best, perf_counter() - begun)
        first = first or list(answers.values())
    return best, first


def _arrays(data: memoryview, tensors: Sequence[Tensor]) -> list[Array]:
    """Copies: slots may be aligned, a blob's cases are not."""
    made, at = [], 0
    for tensor in tensors:
        raw = bytes(data[at : at + tensor.nbytes])
        made.append(np.frombuffer(raw, numpy_dtype(tensor.dtype)).reshape(tensor.shape))
        at += tensor.nbytes
    return made


def compare(where: str, output: Array, wanted: Array, tolerance: float) -> None:
    """Equal bytes for tolerance 0; else the largest absolute difference, not-a-number equal to itself."""
    if tolerance == 0.0:
        if output.tobytes() != wanted.tobytes():
            count = int(np.sum(output != wanted))
            raise TrialError(f"{where}: {count} of {output.size} values differ, all must be equal")
        return
    got, want = output.astype(np.float64), wanted.astype(np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore"):
        away = np.abs(got - want)
    worst = np.where(same, 0.0, np.where(np.isnan(away), np.inf, away))
    if worst.size and float(worst.max()) > tolerance:
        raise TrialError(f"{where}: differs by {float(worst.max()):.4g}, the tolerance is {tolerance:.4g}")
