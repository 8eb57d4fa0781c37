"""Subgraphs as models of their own in LiteRT: every real file whole, and split at random between it and our
kernels."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance.suite import MICRO_ONLY, fitting
from edged.backend import Backend, PrepareContext, RunContext, Subgraph
from edged.config import Config
from edged.demo import MODELS
from edged.errors import BackendError, EdgedError
from edged.formats import tflite
from edged.graph import partition
from edged.graph.arrays import from_bytes, to_bytes
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.graph.passes import optimise
from edged_backends import litert
from edged_backends.cpu import CpuBackend
from edged_backends.litert import LitertBackend
from edged_plugins import litert as plugin
from support.build import one_op
from support.oracle import litert_calls

Array = np.ndarray[Any, np.dtype[Any]]
Values = dict[Tensor, bytes]
RUNNABLE = 165
"""Real files that LiteRT runs; the others have operators that it does not know."""


@dataclass
class Case:
    """One real file that LiteRT runs: our reading of it, inputs, and LiteRT's answers to the file itself."""

    name: str
    model: Model
    inputs: list[Array]
    answers: list[Array]


OF_TWO_SHAPES = ("ops_single/batch_to_space_nd.tflite",)
"""LiteRT answers with the shape that the file stores, whatever block shape its input asks for."""


def cases(folder: Path) -> Iterator[Case]:
    for path in sorted(folder.rglob("*.tflite")):
        name = str(path.relative_to(folder))
        if name.startswith("invalid/") or name in MICRO_ONLY or name in OF_TWO_SHAPES:
            continue
        data = path.read_bytes()
        try:
            model = tflite.read(data, name=name)
            inputs = fitting(model)
            answers = litert_calls(data, [inputs])[0]
        except (EdgedError, RuntimeError, ValueError, KeyError, TypeError):
            continue  # LiteRT does not run it: the conformance suite says why, file by file
        yield Case(name, optimise(model), inputs, answers)


def given(case: Case) -> Values:
    return {t: to_bytes(t.dtype, a) for t, a in zip(case.model.main.inputs, case.inputs, strict=True)}


def run(
    backend: Backend, model: Model, graph: Graph, values: Values, sizes: Sequence[int] | None = None
) -> Values:
    """The outputs of `graph`; `sizes` where an output's bytes depend on values."""
    delegate = backend.prepare(PrepareContext(), Subgraph(graph, model))
    outputs = [bytearray(n) for n in sizes or [t.nbytes for t in graph.outputs]]
    state = RunContext(state=delegate.new_state())
    delegate.run(state, [memoryview(values[t]) for t in graph.inputs], [memoryview(o) for o in outputs])
    delegate.close()
    return {t: bytes(o) for t, o in zip(graph.outputs, outputs, strict=True)}


def arrays(tensors: Sequence[Tensor], values: Values, like: Sequence[Array] | None = None) -> list[Array]:
    shapes = [t.shape for t in tensors] if like is None else [a.shape for a in like]
    return [from_bytes(t.dtype, s, values[t], t.name) for t, s in zip(tensors, shapes, strict=True)]


def difference(ours: Sequence[Array], theirs: Sequence[Array]) -> tuple[float, float]:
    """(largest difference of integers, largest of floats relative to the output's largest value)."""
    steps = share = 0.0
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        if a.dtype.kind == "f":
            finite = float(np.max(np.abs(b[np.isfinite(b)]), initial=1.0))
            with np.errstate(invalid="ignore"):
                gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, np.abs(a.astype(np.float64) - b))
            share = max(share, float(gap.max(initial=0.0)) / finite)
        else:
            steps = max(steps, float(np.abs(a.astype(np.int64) - b.astype(np.int64)).max(initial=0)))
    return steps, share


def test_every_real_file(models: Path) -> None:
    """Optimised and written anew, each file gives in LiteRT what it gave as it was."""
    backend, ran = LitertBackend(), 0
    for case in cases(models):
        graph = case.model.main
        refused = [n.where for n in graph.nodes if not backend.supports(n)]
        assert not refused, f"{case.name}: {refused}"
        sizes = [len(to_bytes(t.dtype, a)) for t, a in zip(graph.outputs, case.answers, strict=True)]
        found = run(backend, case.model, graph, given(case), sizes)
        steps, share = difference(arrays(graph.outputs, found, case.answers), case.answers)
        assert steps == 0, case.name
        assert share <= 1e-5, case.name
        ran += 1
    assert ran >= RUNNABLE


def splittable(case: Case) -> bool:
    """No state that crosses nodes unseen, no strings, no sizes that only the run knows."""
    tensors = [t for n in case.model.main.nodes for t in (*n.inputs, *n.outputs) if t is not None]
    if any(t.variable or t.dtype in (DType.RESOURCE, DType.VARIANT, DType.STRING) for t in tensors):
        return False
    fixed = all(t.shape == a.shape for t, a in zip(case.model.main.outputs, case.answers, strict=True))
    return fixed and len(case.model.main.nodes) >= 2 and any(n.op != "reshape" for n in case.model.main.nodes)


def agreed(case: Case, cpu: Backend, lite: Backend) -> Values | None:
    """Every value of the network, where both compute each integer alike on these inputs; else None.

    LiteRT rounds ties up in some of its x86 kernels, we away from zero: a network that meets such a tie has
    no one answer that all its splits would give.
    """
    whole = replace(case.model.main, outputs=tuple(t for n in case.model.main.nodes for t in n.outputs))
    try:
        a, b = (run(device, case.model, whole, given(case)) for device in (cpu, lite))
    except EdgedError:
        return None  # an inner size that only the run knows
    same = all(a[t] == b[t] for t in whole.outputs if not t.dtype.is_float)
    return b if same else None


def split(graph: Graph, chosen: Sequence[int]) -> tuple[partition.Part, ...]:
    """The parts of a graph whose node i must run on device chosen[i]."""
    devices = [
        partition.Device(name, {n: 1.0 for n, c in zip(graph.nodes, chosen, strict=True) if c == which})
        for which, name in enumerate(("cpu", "litert"))
    ]
    return partition.partition(graph, devices).parts


def chained(case: Case, chosen: Sequence[int], devices: Sequence[Backend]) -> Values:
    """Every node alone on its device: what a network that meets ties gives when it is split like that."""
    values = given(case)
    for node, which in zip(case.model.main.nodes, chosen, strict=True):
        live = dict.fromkeys(t for t in node.inputs if t is not None and not t.constant)
        values |= run(devices[which], case.model, Graph("alone", tuple(live), node.outputs, (node,)), values)
    return values


def check_split(
    case: Case, agreed: Values | None, rng: np.random.Generator, devices: Sequence[Backend]
) -> int:
    """One random partition: integers equal, floats close. How many parts it had."""
    graph = case.model.main
    free = [[d for d, device in enumerate(devices) if device.supports(n)] for n in graph.nodes]
    chosen = [int(rng.choice(options)) for options in free]
    values, parts = given(case), split(graph, chosen)
    wanted = agreed if agreed is not None else chained(case, chosen, devices)
    for part in parts:
        values |= run(devices[0 if part.device == "cpu" else 1], case.model, part.graph, values)
    ours, theirs = arrays(graph.outputs, values), arrays(graph.outputs, wanted | given(case))
    steps, share = difference(ours, theirs)
    assert steps == 0, f"{case.name}: {steps} LSB in {chosen}"
    assert share <= 2e-5, f"{case.name}: {share} in {chosen}"
    return len(parts)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("count", "least"),
    [pytest.param(48, 40, id="few"), pytest.param(600, 40, id="many", marks=pytest.mark.long)],
)
def test_random_partitions(models: Path, count: int, least: int) -> None:
    cpu, lite = CpuBackend(1), LitertBackend()
    known = []
    for case in cases(models):
        if splittable(case):
            known.append((case, agreed(case, cpu, lite)))
    assert len(known) >= least
    rng = np.random.default_rng(5)
    parts = [check_split(*known[i % len(known)], rng, (cpu, lite)) for i in range(count)]
    assert sum(n > 1 for n in parts) > count // 2
    alike = sum(wanted is not None for _, wanted in known)
    print(f"{count} partitions of {len(known)} models ({alike} without ties), {sum(parts)} parts")


def test_state_is_taken_over(models: Path) -> None:
    """Resource variables go from one session's interpreter to another's, in the middle of a stream."""
    path = models / "audio" / "mww_alexa_v2_stream.tflite"
    model = optimise(tflite.read(path.read_bytes()))
    delegate = LitertBackend().prepare(PrepareContext(), Subgraph(model.main, model))
    rng = np.random.default_rng(1)
    frames = [rng.integers(-128, 128, model.main.inputs[0].shape).astype(np.int8) for _ in range(12)]

    def step(state: object, frame: Array) -> bytes:
        output = bytearray(model.main.outputs[0].nbytes)
        delegate.run(RunContext(state=state), [memoryview(frame.tobytes())], [memoryview(output)])
        return bytes(output)

    first, second, fresh = delegate.new_state(), delegate.new_state(), delegate.new_state()
    for frame in frames[:8]:
        step(first, frame)
    saved = delegate.save(first)
    assert any(any(value) for value in saved.values())
    delegate.restore(second, saved)
    after = delegate.save(second)
    assert saved == after
    assert [step(first, f) for f in frames[8:]] == [step(second, f) for f in frames[8:]]
    delegate.reset(second)
    assert [step(second, f) for f in frames] == [step(fresh, f) for f in frames]


def node(op: str, **changes: Any) -> Node:
    return replace(
        one_op(op, [("float32", (1, 2, 2, 1))], [("float32", (1, 2, 2, 1))]).main.nodes[0], **changes
    )


@pytest.mark.parametrize(
    ("given_node", "reason"),
    [
        (node("custom:Whatever"), "no custom op 'Whatever'"),
        (
            node("average_pool_2d", attrs={"padding": "EXPLICIT", "explicit_padding": (1, 0, 0, 0)}),
            "EXPLICIT",
        ),
        (node("exp", outputs=(Tensor("s", DType.STRING, (1,)),)), "s is a string"),
        (node("exp", version=99), "LiteRT refuses it: .*version"),
    ],
)
def test_refusals_have_reasons(given_node: Node, reason: str) -> None:
    support = LitertBackend().supports(given_node)
    assert not support
    assert re.search(reason, support.reason), support.reason


def test_resources_do_not_cross() -> None:
    model = one_op("var_handle", [], [("resource", ())], {"shared_name": "x", "container": ""})
    with pytest.raises(BackendError, match="pin all the nodes that use it to one device"):
        LitertBackend().prepare(PrepareContext(), Subgraph(model.main, model))


def test_xnnpack_is_close() -> None:
    model = optimise(tflite.read(MODELS["float"].read_bytes()))
    values = {t: to_bytes(t.dtype, np.full(t.shape, 0.25, np.float32)) for t in model.main.inputs}
    exact, fast = (run(LitertBackend(xnnpack=x), model, model.main, values) for x in (False, True))
    a, b = arrays(model.main.outputs, exact)[0], arrays(model.main.outputs, fast)[0]
    np.testing.assert_allclose(a, b, 1e-4, 1e-5)


def _only(monkeypatch: pytest.MonkeyPatch, *there: str) -> None:
    """As if only the packages `there` were installed, of those that bring an interpreter."""
    real = builtins.__import__
    packages = {"ai_edge_litert", "tflite_runtime"}
    for name in [m for m in sys.modules if m.split(".")[0] in packages]:
        monkeypatch.delitem(sys.modules, name)

    def importer(name: str) -> Any:
        if name.split(".")[0] in packages - set(there):
            raise ImportError(f"No module named {name!r}")
        return real(name) if name.split(".")[0] not in packages else type(sys)(name)

    monkeypatch.setattr(litert, "import_module", importer)


def test_without_any_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch)
    with pytest.raises(BackendError, match=r"LiteRT is not installed.*pip install 'edged\[litert\]'"):
        LitertBackend()


def test_tflite_runtime_beside_numpy_2(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, "tflite_runtime")
    monkeypatch.setattr(litert.np, "__version__", "2.1.0")
    with pytest.raises(BackendError, match=r"built for NumPy 1 and cannot be loaded beside NumPy 2\.1\.0"):
        litert.runtime()


def test_tflite_runtime_beside_numpy_1(monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, "tflite_runtime")
    monkeypatch.setattr(litert.np, "__version__", "1.26.4")
    assert litert.runtime().__name__ == "tflite_runtime.interpreter"


def test_it_is_registered_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,) = plugin.edged_register_backends(Config())
    assert (entry.name, entry.isolate, entry.rank < 0) == ("litert", True, True)
    monkeypatch.setattr(plugin, "find_spec", lambda _name: None)
    assert plugin.edged_register_backends(Config()) == []
