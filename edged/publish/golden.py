"""Golden cases: inputs, and what the model must answer to them, recorded by the reference semantics.

A device replays them on its own backends before a version may serve there. Inputs are drawn from a seed,
over the range of integer tensors and as normal numbers for floats, or they are the caller's own: real
samples are the better test. Where the reference cannot run a model (a file compiled for one chip), the
expected outputs are the caller's as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edged.errors import EdgedError
from edged.graph.arrays import Array, numpy_dtype, to_bytes
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model, Tensor
from edged.models.manifest import MAX_CASES, TensorSpec
from edged.publish.errors import GoldenError
from edged.runtime.house import seeded
from edged.runtime.loading import entry_graph

CASES = 4
FLOAT_TOLERANCE = 1e-3
"""Of the largest output: what kernels, NPU compilers and fused multiply-adds may differ by in float32."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """`data`: case after case, the raw inputs and then the outputs."""

    data: bytes
    cases: int
    tolerance: float
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def record(
    model: Model,
    *,
    cases: int = CASES,
    seed: int = 0,
    inputs: Mapping[str, Array] | None = None,
    outputs: Mapping[str, Array] | None = None,
    tolerance: float | None = None,
) -> Recorded:
    """The golden cases of a verified model. `inputs`, `outputs`: arrays by tensor name, each of one case or
    of several stacked on a first axis; without outputs the reference computes them. GoldenError says what
    does not fit."""
    graph, names_in, names_out = entry_graph(model)
    given = (
        _cases_of(inputs, names_in, graph.inputs)
        if inputs is not None
        else [seeded(graph.inputs, seed + case) for case in range(cases)]
    )
    if not 1 <= len(given) <= MAX_CASES:
        raise GoldenError(f"{len(given)} golden cases were asked for, 1 to {MAX_CASES} are possible")
    answers = _cases_of(outputs, names_out, graph.outputs) if outputs is not None else _computed(model, given)
    if len(answers) != len(given):
        raise GoldenError(f"there are {len(given)} cases of inputs and {len(answers)} of outputs")
    _check_shapes(names_out, answers)
    tensors = (*graph.inputs, *graph.outputs)
    data = b"".join(
        to_bytes(tensor.dtype, array)
        for case, answer in zip(given, answers, strict=True)
        for tensor, array in zip(tensors, (*case, *answer), strict=True)
    )
    return Recorded(
        data,
        len(given),
        _tolerance(model, answers) if tolerance is None else tolerance,
        _specs(names_in, graph.inputs, given[0]),
        _specs(names_out, graph.outputs, answers[0]),
    )


def _computed(model: Model, given: Sequence[Sequence[Array]]) -> list[list[Array]]:
    evaluation = Evaluation(model)
    try:
        return [list(evaluation.run(case).values()) for case in given]
    except EdgedError as error:
        raise GoldenError(
            f"the reference cannot run this model: {error}",
            remedy="give what it must answer: --inputs IN.npz --outputs OUT.npz",
        ) from error


def _cases_of(
    arrays: Mapping[str, Array], names: Sequence[str], tensors: Sequence[Tensor]
) -> list[list[Array]]:
    if set(arrays) != set(names):
        raise GoldenError(
            f"the golden arrays are called {', '.join(arrays)}", remedy=f"call them {', '.join(names)}"
        )
    stacks = [_stacked(n, t, arrays[n]) for n, t in zip(names, tensors, strict=True)]
    counts = {len(stack) for stack in stacks}
    if len(counts) != 1:
        raise GoldenError(f"the golden arrays hold different numbers of cases: {sorted(counts)}")
    return [list(case) for case in zip(*stacks, strict=True)]


def _stacked(name: str, tensor: Tensor, array: Array) -> list[Array]:
    """One array as cases: as it is, stacked on a new axis, or stacked on a first axis of 1."""
    shape = tensor.shape
    if array.dtype != numpy_dtype(tensor.dtype):
        raise GoldenError(f"{name!r} has dtype {array.dtype}, the model takes {tensor.dtype}")
    if array.shape == shape:
        return [array]
    if array.shape[1:] == shape:
        return list(array)
    if shape and shape[0] == 1 and array.shape[1:] == shape[1:]:
        return [row[None] for row in array]
    raise GoldenError(f"{name!r} has shape {array.shape}, the model takes {shape}, or cases of it")


def _check_shapes(names: Sequence[str], answers: Sequence[Sequence[Array]]) -> None:
    for index, name in enumerate(names):
        shapes = {answer[index].shape for answer in answers}
        if len(shapes) != 1:
            raise GoldenError(
                f"output {name!r} changes its shape from case to case: {sorted(shapes)}",
                remedy="give --inputs whose outputs have one shape",
            )


def _specs(
    names: Sequence[str], tensors: Sequence[Tensor], arrays: Sequence[Array]
) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=name, dtype=str(tensor.dtype), shape=tuple(array.shape))
        for name, tensor, array in zip(names, tensors, arrays, strict=True)
    )


def _tolerance(model: Model, answers: Sequence[Sequence[Array]]) -> float:
    """0 where only integers are computed, which are the same bytes everywhere; else a share of the largest
    output, and one step at least for integer outputs."""
    nodes = [node for graph in model.graphs for node in graph.nodes]
    if not any(tensor.dtype.is_float for node in nodes for tensor in node.outputs):
        return 0.0
    arrays: list[np.ndarray[Any, Any]] = [array for answer in answers for array in answer]
    finite = [np.abs(a[np.isfinite(a)]).max(initial=0.0) for a in arrays if a.dtype.kind == "f"]
    largest = max((float(f) for f in finite), default=0.0)
    whole = any(a.dtype.kind != "f" for a in arrays)
    return max(FLOAT_TOLERANCE * max(largest, 1.0), 1.0 if whole else 0.0)
