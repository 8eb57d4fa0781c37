"""A model of one node through the cpu backend: with every set of kernels, against LiteRT or our own reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.formats.tflite import write
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned
from support.oracle import litert, tflm

Array = np.ndarray[Any, np.dtype[Any]]
MASKS = ("", "avx512,avx2", "avx2", "none")
"""Instruction sets to run with: all of this CPU's, without VNNI, AVX2 alone, scalar."""


def run_lowered(model: Model, arrays: Sequence[Array], mask: str = "", threads: int = 1) -> list[Array]:
    """The outputs; a node that fell back to NumPy fails the test, with the reason."""
    graph = model.main
    backend = CpuBackend(threads=threads, arch_mask=mask)
    delegate = backend.prepare(PrepareContext(threads=threads), Subgraph(graph, model))
    assert not delegate.program.fallbacks, delegate.explain()
    given = []
    for array in arrays:
        raw = aligned(array.nbytes)
        raw[:] = np.frombuffer(array.tobytes(), np.uint8)
        given.append(raw.data)
    outputs = [aligned(t.nbytes) for t in graph.outputs]
    delegate.run(RunContext(), given, [o.data for o in outputs])
    return [
        np.frombuffer(o.tobytes(), str(t.dtype)).reshape(t.shape)
        for o, t in zip(outputs, graph.outputs, strict=True)
    ]


def agree(
    model: Model,
    arrays: Sequence[Array],
    *,
    oracle: str = "reference",
    masks: Sequence[str] = MASKS,
    threads: Sequence[int] = (1, 2),
    rtol: float = 1e-5,
    atol: float = 1e-6,
) -> None:
    """Integers equal to the oracle's ("reference", "litert" or "tflm"), floats close, whatever the kernels and threads."""
    if oracle != "reference":
        wanted = {"litert": litert, "tflm": tflm}[oracle](write(model), list(arrays))
    else:
        wanted = list(Evaluation(model).run(list(arrays)).values())
    for i, mask in enumerate(masks):
        got = run_lowered(model, arrays, mask, threads[i % len(threads)])
        for ours, theirs in zip(got, wanted, strict=True):
            where = f"{model.main.nodes[0]} with {mask or 'all'}"
            assert ours.shape == theirs.shape, where
            if ours.dtype.kind == "f":
                np.testing.assert_allclose(ours, theirs, rtol, atol, err_msg=where)
            else:
                np.testing.assert_array_equal(ours, theirs, err_msg=where)
