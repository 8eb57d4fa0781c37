"""A backend in a child process: the same results, and its crashes and hangs stay there."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from edged.config import Config, LimitsConfig
from edged.errors import BackendError
from edged.runtime import recovery, transport
from edged.runtime.device import Device, DeviceState
from edged.runtime.errors import HungError
from edged.runtime.house import Call, House
from edged.runtime.isolated import IsolatedBackend
from edged.source import Source
from sim import isolated_plugin
from support.install import install
from support.runtime_bench import expected
from support.small_models import chain, mixed

X = np.arange(8, dtype=np.int8)[None]
Mood = Callable[[str], None]


@pytest.fixture
def mood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mood:
    """Sets what the vendor's backend does next."""
    file = tmp_path / "mood"
    monkeypatch.setenv("ISOLATED_MOOD", str(file))
    return lambda text: file.write_text(text)  # type: ignore[return-value]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mood: Mood) -> Iterator[House]:
    monkeypatch.setattr(recovery, "FIRST_PROBE", 0.01)
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, monkeypatch, "vendor", Path(isolated_plugin.__file__).read_text())
    made = House(Config(limits=LimitsConfig(run_seconds=1.0)), only=["cpu", "vendor"])
    yield made
    made.close()


def _vendor(house: House) -> tuple[Device, IsolatedBackend]:
    device = next(d for d in house.devices if d.name == "vendor")
    assert isinstance(device.backend, IsolatedBackend)
    return device, device.backend


def _until(condition: Callable[[], bool]) -> None:
    end = monotonic() + 30
    while not condition():
        assert monotonic() < end, "it never came true"


def test_same_results(house: House) -> None:
    model = mixed()
    call = Call(house, house.load("m", Source("m", lambda: model), pin={"fully_connected": "vendor"}))
    assert [s.device.name for s in call.loaded.steps] == ["cpu", "vendor"]
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = rng.integers(-128, 128, (1, 4, 4, 2)).astype(np.int8)
        np.testing.assert_array_equal(call([x])["y"], expected(model, x))


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("crash", "the child process was ended by SIGSEGV"),
        ("hang", "no answer to run within 1.0 s: the child process was killed"),
        ("raise", "the vendor library says no"),
    ],
)
def test_failures_stay_in_the_child(house: House, mood: Mood, what: str, reason: str) -> None:
    """The request is answered by the cpu; the device comes back when it is well again."""
    model = chain()
    house.recovery.hang_seconds = 30
    call = Call(house, house.load("m", Source("m", lambda: model), pin={"fully_connected": "vendor"}))
    device, backend = _vendor(house)
    assert call.loaded.steps[0].device is device
    mood(what)
    np.testing.assert_array_equal(call([X])["y"], expected(model, X))
    assert device.counters.failures == 1
    assert device.reason == reason or device.up
    mood("")
    _until(lambda: device.counters.readmissions == 1 and call.loaded.steps[0].device is device)
    np.testing.assert_array_equal(call([X])["y"], expected(model, X))
    assert device.state is DeviceState.UP
    counters = backend.counters
    assert (counters.crashes, counters.kills) == (int(what == "crash"), int(what == "hang"))


def test_children_die_with_the_house(house: House) -> None:
    _, backend = _vendor(house)
    child = backend.process.child
    backend.close()
    assert child.poll() is not None


def test_a_stopped_child_holds_up_nobody_who_sends_much(house: House) -> None:
    _, backend = _vendor(house)
    os.kill(backend.process.child.pid, signal.SIGSTOP)
    begun = monotonic()
    with pytest.raises(HungError, match="the child process was killed"):
        backend.process.call(0.3, "facts", bytes(16 << 20))
    assert monotonic() - begun < 20
    assert backend.process.child.poll() is not None


def test_what_is_no_answer_ends_the_child(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _, backend = _vendor(house)

    def garbled(*_: object) -> bytes:
        return b"\xc1 not msgpack"

    monkeypatch.setattr(transport, "receive", garbled)
    with pytest.raises(BackendError, match="no answer"):
        backend.process.call(5.0, "probe")
    assert backend.process.child.poll() is not None


def test_states_in_the_child_go_with_their_sessions(house: House, mood: Mood) -> None:
    """Sessions that were opened and closed leave nothing behind, on either side."""
    model = chain()
    entry = house.load("m", Source("m", lambda: model), pin={"fully_connected": "vendor"})
    _, backend = _vendor(house)
    delegate = entry.current.steps[0].delegate
    for _ in range(5):
        delegate.new_state()
    kept = delegate.new_state()
    assert backend.process.call(5.0, "states", delegate.key) == [kept.number]


def test_a_survey_keeps_no_model_alive(house: House) -> None:
    _, backend = _vendor(house)
    model = chain()
    assert all(backend.supports(node) for node in model.main.nodes)
    assert len(backend._survey) == len(model.main.nodes)
    del model
    gc.collect()
    assert len(backend._survey) == 0
