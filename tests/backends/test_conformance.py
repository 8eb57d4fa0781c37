"""Every real model through the cpu backend: equal to the reference, and only rare ops left to NumPy.

Integers are equal, floats within 1e-4 relative (1e-5 of the output's largest value) after the whole
network. Each model is run with all kernels of this CPU on two threads, as loaded and optimised, and with
the scalar kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import EdgedError
from edged.formats import read
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Model, Tensor
from edged.graph.passes import optimise
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.packing import aligned
from support.networks import Array, some_input

MAY_FALL_BACK = {
    "unique": "its output's size is known only at run time",
    "fill": "where its shape is an input",
    "batch_to_space_nd": "where its block shape is an input",
    "transpose_conv": "where its output shape is an input",
    "gather": "of strings",
    "topk_v2": "no family of kernels has it",
    "sparse_to_dense": "no family of kernels has it",
}
"""Ops of real models that NumPy may compute, and why."""

RUN_BY_OTHERS = ("edgetpu/", "tflm/audio_preprocessor", "tflm/person_detect_vela", "ops/litert_max_unpooling")
"""Files that only a vendor's device, or TFLite Micro's custom ops, can run."""


def runnable(models: Path) -> Iterator[tuple[str, Model]]:
    for path in sorted(models.rglob("*.tflite")):
        name = str(path.relative_to(models))
        if name.startswith(("invalid/", *RUN_BY_OTHERS)):
            continue
        model = read(memoryview(path.read_bytes()), name=name)
        custom = {n.kind for g in model.graphs for n in g.nodes if n.op == "custom"}
        if all(CpuBackend().supports(n) for n in model.main.nodes) and not custom & {"custom:Normalize"}:
            yield name, model


def given(model: Model) -> list[Array] | None:
    """Seeded inputs; None where one has no array form. Integer inputs stay small: they are indices and
    shapes."""
    arrays = []
    for tensor in model.main.inputs:
        if tensor.dtype.bits == 0:
            return None
        array = some_input(tensor) if tensor.dtype is not DType.BOOL else np.ones(tensor.shape, bool)
        wide = tensor.dtype in (DType.INT32, DType.INT64)
        arrays.append(np.abs(array % 3).astype(array.dtype) if wide else array)
    return arrays


def run(delegate: CpuDelegate, arrays: list[Array], state: object) -> list[Array]:
    inputs = []
    for array in arrays:
        raw = aligned(array.nbytes)
        raw[:] = np.frombuffer(array.tobytes(), np.uint8)
        inputs.append(raw.data)
    outputs = [aligned(t.nbytes) for t in delegate.outputs]
    delegate.run(RunContext(state=state), inputs, [o.data for o in outputs])
    return [
        np.frombuffer(o, str(t.dtype)).reshape(t.shape)
        for o, t in zip(outputs, delegate.outputs, strict=True)
    ]


def difference(tensor: Tensor, got: Array, wanted: Array) -> str:
    """What is wrong with an output; empty when it agrees."""
    if got.shape != wanted.shape:
        return f"{tensor.name}: shape {got.shape}, not {wanted.shape}"
    if got.dtype.kind != "f":
        wrong = int((got != wanted).sum())
        return f"{tensor.name}: {wrong} of {got.size} differ" if wrong else ""
    largest = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
    if np.allclose(got, wanted, 1e-4, 1e-4 * largest + 1e-7, equal_nan=True):
        return ""
    return (
        f"{tensor.name}: off by {np.nanmax(np.abs(got - wanted)):.3g}, the largest value being {largest:.3g}"
    )


def disagreements(name: str, model: Model, mask: str, threads: int) -> Iterator[str]:
    arrays = given(model)
    if arrays is None:
        return
    evaluation = Evaluation(model)
    used = optimise(model) if mask == "" else model
    backend = CpuBackend(arch_mask=mask)
    delegate = backend.prepare(PrepareContext(threads=threads), Subgraph(used.main, used))
    state = delegate.new_state()
    for _ in range(1 if state is None else 3):
        try:
            wanted = evaluation.call(model.main, arrays)
        except EdgedError:
            return  # these inputs mean nothing to it (a division by zero, a shape that does not fit)
        if any(w.nbytes != t.nbytes for w, t in zip(wanted, delegate.outputs, strict=True)):
            return  # sizes that follow from the inputs' values: the caller's buffers cannot be right
        for tensor, got, want in zip(delegate.outputs, run(delegate, arrays, state), wanted, strict=True):
            found = difference(tensor, got, want)
            if found:
                yield f"{name}: {found}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("mask", "threads"), [("", 2), ("none", 1)], ids=["all kernels", "scalar"])
def test_every_real_model_equals_the_reference(models: Path, mask: str, threads: int) -> None:
    count, wrong = 0, []
    for name, model in runnable(models):
        count += 1
        wrong += disagreements(name, model, mask, threads)
    assert wrong == []
    assert count > 150


def test_no_real_model_leaves_a_common_op_to_numpy(models: Path) -> None:
    left = []
    for name, model in runnable(models):
        used = optimise(model)
        delegate = CpuBackend().prepare(PrepareContext(), Subgraph(used.main, used))
        left += [
            f"{name}: {step.where}: {step.why}"
            for step in delegate.program.fallbacks
            if step.node.kind not in MAY_FALL_BACK
        ]
    assert left == []
