"""The cpu backend: equal to the reference whatever falls back, whatever the buffers, threads and kernels;
and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import BackendError
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged_backends import assemble
from edged_backends.cpu import CpuBackend, CpuDelegate
from edged_backends.program import PythonStep
from support.build import one_op
from support.networks import Array, some_input, tower

DTYPES = (DType.FLOAT32, DType.INT8, DType.UINT8)


def prepared(model: Model, **context: object) -> CpuDelegate:
    return CpuBackend().prepare(PrepareContext(**context), Subgraph(model.main, model))  # type: ignore[arg-type]


def run(delegate: CpuDelegate, *arrays: Array, state: object = None) -> list[Array]:
    outputs = [np.zeros(t.shape, str(t.dtype)) for t in delegate.outputs]
    views = [memoryview(a.reshape(-1).view(np.uint8)) for a in (np.ascontiguousarray(a) for a in arrays)]
    delegate.run(RunContext(state=state), views, [memoryview(o.reshape(-1).view(np.uint8)) for o in outputs])
    return outputs


def check(model: Model, delegate: CpuDelegate, arrays: Sequence[Array]) -> None:
    for got, wanted in zip(run(delegate, *arrays), Evaluation(model).call(model.main, arrays), strict=True):
        if got.dtype.kind == "f":
            np.testing.assert_allclose(got, wanted, 1e-5, 1e-6)
        else:
            np.testing.assert_array_equal(got, wanted)


@pytest.fixture(params=[(), ("conv_2d",), ("max_pool_2d",), ("conv_2d", "max_pool_2d")], ids="-".join)
def missing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Kinds of nodes that have no rule in this test."""
    gone: tuple[str, ...] = request.param
    kept = {kind: rule for kind, rule in assemble.rules().items() if kind not in gone}
    monkeypatch.setattr(assemble, "rules", lambda: kept)
    if gone:  # nor a fusion that would take them
        monkeypatch.setattr(assemble, "groups", lambda: ())
    return gone


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_kernels_and_fallbacks_mix_in_one_session(
    missing: tuple[str, ...], dtype: DType, threads: int
) -> None:
    model = tower(dtype)
    delegate = prepared(model, threads=threads)
    falls = [step.node.kind for step in delegate.program.steps if isinstance(step, PythonStep)]
    assert falls == [node.kind for node in model.main.nodes if node.kind in missing]
    for seed in range(3):
        check(model, delegate, [some_input(model.main.inputs[0], seed)])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_value_can_be_an_output(missing: tuple[str, ...], dtype: DType) -> None:
    model = tower(dtype)
    main = model.main
    every = (*main.inputs, *(t for node in main.nodes for t in node.outputs), main.nodes[0].outputs[0])
    model = Model((replace(main, outputs=every),))
    check(model, prepared(model), [some_input(main.inputs[0])])


def test_a_constant_can_be_an_output() -> None:
    model = tower(DType.UINT8)
    weights = model.main.nodes[0].input(1)
    model = Model((replace(model.main, outputs=(weights, *model.main.outputs)),))
    check(model, prepared(model), [some_input(model.main.inputs[0])])


@pytest.mark.parametrize("shift", [1, 2, 4, 7])
def test_buffers_may_start_anywhere(shift: int) -> None:
    model = tower(DType.FLOAT32)
    delegate = prepared(model)
    x = some_input(model.main.inputs[0])
    room, result = bytearray(x.nbytes + 8), bytearray(model.main.outputs[0].nbytes + 8)
    room[shift : shift + x.nbytes] = x.tobytes()
    source, target = (
        memoryview(room)[shift : shift + x.nbytes],
        memoryview(result)[shift : len(result) - 8 + shift],
    )
    delegate.run(RunContext(), [source], [target])
    assert target.tobytes() == run(delegate, x)[0].tobytes()


def test_buffers_of_the_wrong_size_are_a_backend_error() -> None:
    delegate = prepared(tower(DType.INT8))
    with pytest.raises(BackendError, match="input 0 has 5 bytes, 192 are needed"):
        delegate.run(RunContext(), [memoryview(bytes(5))], [memoryview(bytearray(16))])


def test_runs_at_the_same_moment_have_frames_of_their_own() -> None:
    model = tower(DType.INT8)
    delegate = prepared(model, threads=2)
    inputs = [some_input(model.main.inputs[0], seed) for seed in range(8)]
    alone = [run(delegate, x)[0] for x in inputs]
    with ThreadPoolExecutor(4) as executor:
        together = list(executor.map(lambda x: run(delegate, x)[0], inputs * 10))
    assert all((a == b).all() for a, b in zip(alone * 10, together, strict=True))


def test_the_scalar_kernels_give_the_same_bytes() -> None:
    model = tower(DType.UINT8)
    x = some_input(model.main.inputs[0])
    scalar = CpuBackend(arch_mask="none")
    assert scalar.facts()["instruction sets"] == "scalar"
    delegate = scalar.prepare(PrepareContext(), Subgraph(model.main, model))
    assert (run(delegate, x)[0] == run(prepared(model), x)[0]).all()
    assert all("scalar" in line for line in delegate.explain()[:-1])


def test_explain_names_kernels_and_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {kind: rule for kind, rule in assemble.rules().items() if kind != "max_pool_2d"}
    monkeypatch.setattr(assemble, "rules", lambda: kept)
    lines = prepared(tower(DType.FLOAT32)).explain()
    assert lines[0].startswith("operator 0 CONV_2D: ")
    assert "f32" in lines[0]
    assert lines[1] == "operator 1 MAX_POOL_2D: numpy reference (there is no kernel for this op)"
    assert "2 of 4 steps in NumPy" in lines[-1]


def test_a_profile_has_a_line_per_step() -> None:
    model = tower(DType.FLOAT32)
    delegate = prepared(model)
    x = some_input(model.main.inputs[0])
    lines = delegate.profile([memoryview(x).cast("B")], [memoryview(bytearray(64))], 3)
    assert [line.where for line in lines] == [node.origin for node in model.main.nodes]
    assert all(line.nanoseconds > 0 for line in lines)


def test_an_arena_over_the_limit_is_refused() -> None:
    with pytest.raises(BackendError, match=r"takes \d+ bytes, the limit is 64"):
        prepared(tower(DType.FLOAT32), max_arena_bytes=64)


def test_what_nothing_computes_is_refused_with_the_way_out() -> None:
    x, y = Tensor("x", DType.FLOAT32, (4,)), Tensor("y", DType.FLOAT32, (4,))
    node = Node("custom", (x,), (y,), custom_code="Mystery", origin="operator 0 CUSTOM")
    support = CpuBackend().supports(node)
    assert not support
    assert "Mystery" in support.reason
    with pytest.raises(BackendError, match="operator 0 CUSTOM"):
        prepared(Model((Graph("main", (x,), (y,), (node,)),)))


def test_estimates_grow_with_the_work() -> None:
    backend, model = CpuBackend(), tower(DType.FLOAT32)
    one = Graph("one", model.main.inputs, model.main.nodes[0].outputs, model.main.nodes[:1])
    part, whole = (backend.estimate(Subgraph(g, model)).microseconds for g in (one, model.main))
    assert 0 < part < whole


def test_resident_bytes_count_constants_and_arena() -> None:
    delegate = prepared(tower(DType.FLOAT32))
    assert delegate.resident_bytes() == delegate.program.constant_bytes + delegate.program.arena_bytes > 0


def test_numpy_gets_copies_of_what_a_client_may_change() -> None:
    """A client that changes a value between NumPy's check of it and its use must not reach the daemon's memory."""
    model = one_op("real", [("complex64", (64,))], [("float32", (64,))])
    delegate = prepared(model)
    given, read = np.arange(64).astype(np.complex64), []
    frame = delegate._free[0]
    plain = frame.evaluate

    def evaluate(node: Node, arrays: Sequence[Array], memory: object) -> Sequence[Array]:
        read.extend(arrays)
        return plain(node, arrays, memory)  # type: ignore[arg-type]

    frame.evaluate = evaluate  # type: ignore[assignment]
    (got,) = run(delegate, given)
    np.testing.assert_array_equal(got, given.real)
    assert len(read) == 1
    assert not np.shares_memory(read[0], given)
