"""What a board with edged's firmware has to do: unchanged on QEMU and on a real one. Figures go into the
JUnit report as properties."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.config import McuConfig
from edged.demo import MODELS
from edged.errors import LinkError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.runtime.house import seeded
from edged_backends.mcu.backend import McuBackend, McuDelegate

pytest.importorskip("labgrid", reason="rigs need labgrid: pip install 'edged[hil]'")

from labgrid.exceptions import NoDriverFoundError

from edged_backends.mcu.rig import drivers

pytestmark = pytest.mark.timeout(180)
Record = Callable[[str, object], None]
INPUTS = 5


@pytest.fixture
def backend(rig: Any) -> Iterator[McuBackend]:
    port = rig.get_driver(drivers.BoardProtocol).port
    made = McuBackend(McuConfig(port=port, patience_seconds=10.0))
    yield made
    made.close()


@pytest.fixture
def accidents(rig: Any) -> Any:
    """The rig's accidents; a rig without them skips the test."""
    try:
        return rig.get_driver(drivers.FaultProtocol)
    except NoDriverFoundError:
        pytest.skip("this rig makes no accidents on command")


def differences(delegate: McuDelegate, inputs: int = INPUTS) -> tuple[int, list[float]]:
    """Bytes of the demo model's answers that differ from the reference's, and seconds of each run."""
    model, wrong, times = tflite.read(MODELS["int8"].read_bytes()), 0, []
    for seed in range(inputs):
        (given,) = seeded(model.main.inputs, seed)
        wanted = next(iter(Evaluation(model).run([given]).values()))
        found = np.zeros_like(wanted)
        start = monotonic()
        delegate.run(RunContext(), [memoryview(given).cast("B")], [memoryview(found).cast("B")])
        times.append(monotonic() - start)
        wrong += int((found != wanted).sum())
    return wrong, times


def prepared(backend: McuBackend, cache: Path) -> McuDelegate:
    model = tflite.read(MODELS["int8"].read_bytes())
    return backend.prepare(PrepareContext(cache_dir=str(cache)), Subgraph(model.main, model))


def test_identify(backend: McuBackend, record_property: Record) -> None:
    here = backend.identity
    for key in ("board", "target", "boot", "slot_bytes", "arena_bytes"):
        record_property(key, getattr(here, key))
    assert here.slot_bytes > 0
    assert here.arena_bytes > 0


def test_the_demo_model_gives_the_references_bytes(
    rig: Any, backend: McuBackend, tmp_path: Path, record_property: Record
) -> None:
    delegate = prepared(backend, tmp_path)
    wrong, times = differences(delegate)
    ticks = delegate.ticks
    record_property("latency_ms", round(1e3 * sorted(times)[len(times) // 2], 2))
    record_property("on_the_board_us", round(1e6 * ticks / backend.identity.clock_hz, 1))
    per_tick = rig.get_driver(drivers.BoardProtocol).instructions_per_tick
    if per_tick:
        record_property("instructions", round(ticks * per_tick))
    record_property("program_bytes", delegate.program_bytes)
    record_property("differences", wrong)
    assert wrong == 0


def test_a_reset_is_noticed(backend: McuBackend, accidents: Any, tmp_path: Path) -> None:
    delegate = prepared(backend, tmp_path)
    boots = backend.identity.boot
    accidents.reset()
    with pytest.raises(LinkError, match="was reset"):
        differences(delegate, 1)
    assert backend.probe()
    assert backend.identity.boot == boots + 1
    assert differences(prepared(backend, tmp_path), 1)[0] == 0


def test_a_bad_line(backend: McuBackend, accidents: Any, tmp_path: Path, record_property: Record) -> None:
    delegate = prepared(backend, tmp_path)
    accidents.faults(0.005, 0.005)
    try:
        wrong, _ = differences(delegate, 2)
    finally:
        accidents.faults(0.0, 0.0)
    record_property("resent", backend.board.link.counts.resent)
    record_property("differences", wrong)
    assert wrong == 0


def test_unplugged(backend: McuBackend, accidents: Any, tmp_path: Path) -> None:
    delegate = prepared(backend, tmp_path)
    accidents.unplug()
    try:
        with pytest.raises(LinkError, match="is gone"):
            differences(delegate, 1)
        assert not backend.probe()
    finally:
        accidents.plug()
    assert backend.probe()
    assert differences(prepared(backend, tmp_path), 1)[0] == 0
