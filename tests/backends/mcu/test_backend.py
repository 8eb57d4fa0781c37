"""The backend `mcu:...` on a board in QEMU: what it takes, what it says, and that it computes the CPU's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.config import McuConfig
from edged.demo import MODELS
from edged.errors import BackendError, LinkError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.runtime.house import seeded
from edged_backends.mcu import compile as compile_module
from edged_backends.mcu.backend import McuBackend, alone
from edged_backends.mcu.rig.qemu import MACHINES, QemuBoard
from support import boards

pytestmark = pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here")


@pytest.fixture(params=MACHINES)
def rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[QemuBoard]:
    with boards.rig(request.param, tmp_path) as made:
        yield made


def opened(rig: QemuBoard, **more: object) -> McuBackend:
    return McuBackend(McuConfig(name="sensor", port=str(rig.port), **more))  # type: ignore[arg-type]


def digits(kind: str = "int8") -> Model:
    return tflite.read(MODELS[kind].read_bytes())


def test_a_whole_model_gives_the_references_bytes(rig: QemuBoard, tmp_path: Path) -> None:
    backend, model = opened(rig), digits()
    assert backend.name == "mcu:sensor"
    assert all(backend.supports(node) for node in model.main.nodes)
    subgraph = Subgraph(model.main, model)
    guess = backend.estimate(subgraph)
    delegate = backend.prepare(PrepareContext(cache_dir=str(tmp_path / "cache")), subgraph)
    for seed in range(5):
        (given,) = seeded(model.main.inputs, seed)
        wanted = next(iter(Evaluation(model).run([given]).values()))
        found = np.zeros_like(wanted)
        delegate.run(RunContext(), [memoryview(given).cast("B")], [memoryview(found).cast("B")])
        np.testing.assert_array_equal(found, wanted)
    assert not guess.measured
    assert backend.estimate(subgraph).measured
    assert "on mcu:sensor" in delegate.explain()[0]
    lines = delegate.profile([memoryview(given).cast("B")], [memoryview(found).cast("B")], runs=2)
    assert [(line.where, line.kernel) for line in lines] == list(delegate.made.steps)
    assert all(line.nanoseconds > 0 for line in lines)
    assert backend.facts()["board"] == rig.machine.name
    assert len(list((tmp_path / "cache").glob("*.bin"))) == len(delegate.images)
    backend.close()


def test_so_does_one_that_zig_compiled(
    rig: QemuBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zig = [found for found in compile_module.compilers() if found.kind == "zig"]
    if not zig:
        pytest.skip("no zig here: pip install ziglang")
    monkeypatch.setattr(compile_module, "compilers", lambda: zig)
    backend, model = opened(rig), digits()
    delegate = backend.prepare(PrepareContext(cache_dir=str(tmp_path)), Subgraph(model.main, model))
    for seed in range(5):
        (given,) = seeded(model.main.inputs, seed)
        wanted = next(iter(Evaluation(model).run([given]).values()))
        found = np.zeros_like(wanted)
        delegate.run(RunContext(), [memoryview(given).cast("B")], [memoryview(found).cast("B")])
        np.testing.assert_array_equal(found, wanted)
    backend.close()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[QemuBoard]:
    with boards.rig("mps2-an386", tmp_path) as made:
        yield made


def test_programs_that_take_turns_on_a_board_are_named(rig: QemuBoard, tmp_path: Path) -> None:
    """As many as there are slots cost nothing; with one more, each turn loads its program again."""
    backend, model = opened(rig), digits()
    made = []
    for node in [n for n in model.main.nodes if n.op in ("conv_2d", "fully_connected")][:3]:
        made.append(backend.prepare(PrepareContext(cache_dir=str(tmp_path)), alone(node)))
        shared = len(made) > (2 if backend.identity.other_address else 1)
        assert any(f"{len(made)} programs share the board" in line for line in made[0].explain()) == shared
    made.pop()
    assert not any("3 programs" in line for line in made[0].explain())
    backend.close()


def test_it_refuses_with_reasons(small: QemuBoard) -> None:
    backend, model = opened(small), digits("float")
    refusal = backend.supports(model.main.nodes[0])
    assert not refusal
    assert "boards run integers only" in refusal.reason
    backend.close()


def test_delivered_programs_need_no_compiler(
    small: QemuBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = digits()
    subgraph = Subgraph(model.main, model)
    backend = opened(small)
    backend.prepare(PrepareContext(cache_dir=str(tmp_path / "delivered")), subgraph)
    backend.close()
    monkeypatch.setattr("edged_backends.mcu.compile.compilers", lambda: [])
    backend = opened(small)
    with pytest.raises(BackendError, match="no compiler for boards"):
        backend.prepare(PrepareContext(cache_dir=str(tmp_path / "empty")), subgraph)
    backend.close()
    backend = opened(small, programs=str(tmp_path / "delivered"))
    backend.prepare(PrepareContext(cache_dir=str(tmp_path / "empty")), subgraph)
    backend.close()


def test_probe_says_whether_the_board_is_there(small: QemuBoard) -> None:
    backend = opened(small, patience_seconds=0.5)
    assert backend.probe()
    small.power(False)
    refusal = backend.probe()
    assert not refusal
    assert "no answer for" in refusal.reason
    small.power(True)
    assert backend.probe()
    backend.close()


def test_a_port_that_is_not_there() -> None:
    with pytest.raises(LinkError, match="cannot be opened"):
        McuBackend(McuConfig(port="/dev/there-is-no-such-port"))
    with pytest.raises(BackendError, match="without a port"):
        McuBackend(McuConfig())
