"""The blocking client and its models, against a server in this process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edged_ipc
from edged_ipc import client as client_module
from edged_ipc import errors
from edged_ipc.channel import Channel
from edged_ipc.client import Client
from edged_ipc.messages import Limits
from sim.echo_service import EchoService

RNG = np.random.default_rng(5)


@pytest.fixture(params=[False, True], ids=["shared", "inline"])
def client(here: Any, request: pytest.FixtureRequest) -> Iterator[Client]:
    with edged_ipc.connect(here.path, inline=request.param) as made:
        yield made


@pytest.fixture
def shared(here: Any) -> Iterator[Client]:
    with edged_ipc.connect(here.path) as made:
        yield made


def bytes_of(count: int) -> Any:
    return RNG.integers(0, 256, count).astype(np.uint8)


@pytest.mark.parametrize("size", [1, 490, 100_000])
def test_arrays_there_and_back(client: Client, size: int) -> None:
    model = client.open(f"echo-{size}")
    for _ in range(3):
        x = bytes_of(size)
        outputs = model(x)
        np.testing.assert_array_equal(outputs["y"], x)
        np.testing.assert_array_equal(np.asarray(outputs), x)
    assert (outputs.version, outputs.queue_us, outputs.run_us) == (1, 1, 2)


def test_hanging_up_gives_the_descriptors_back(here: Any) -> None:
    """Also those of models that nobody closed; what was answered stays readable."""
    with edged_ipc.connect(here.path) as client:
        models = [client.open("echo-10", slots=2) for _ in range(3)]
        x = bytes_of(10)
        outputs = models[0](x)
    assert [block.fd for model in models for block in model.pool.blocks] == [-1, -1, -1]
    np.testing.assert_array_equal(outputs["y"], x)


def test_outputs_are_copies(client: Client) -> None:
    model = client.open("echo-4")
    first, x = model(bytes_of(4) | 1), np.zeros(4, np.uint8)
    kept = first[0].copy()
    model(x)
    np.testing.assert_array_equal(first[0], kept)


@pytest.mark.parametrize("form", [list, tuple, lambda pair: {"b": pair[1], "a": pair[0]}])
def test_several_tensors(client: Client, form: Callable[[Any], Any]) -> None:
    model = client.open("two")
    a, b = RNG.random((1, 4), np.float32), RNG.integers(-9, 9, (2, 3)).astype(np.int8)
    outputs = model(form((a, b)))
    np.testing.assert_array_equal(outputs["x"], a)
    np.testing.assert_array_equal(outputs[1], b)
    assert [t.name for t in model.inputs] == ["a", "b"]
    assert model.inputs[1].scales == (0.5,)


def test_a_bad_input_costs_no_slot(shared: Client) -> None:
    model = shared.open("two")
    for _ in range(3):
        with pytest.raises(errors.BadInputError, match="1 inputs were given"):
            model(np.zeros(3))
    assert model.pool.count == 1


def test_several_in_flight_and_out_of_order(shared: Client) -> None:
    model = shared.open("slow-0.05", slots=2)
    pendings = [model.submit(np.array([i], np.int32)) for i in range(9)]
    assert [int(p.result(10)[0][0]) for p in reversed(pendings)] == list(range(9))[::-1]
    assert len(model.pool.free) == model.pool.count >= 9


def test_slots_that_are_used_up(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(slots=3)))
    with edged_ipc.connect(here.path) as client:
        model = client.open("never")
        pendings = [model.submit([[1]]) for _ in range(3)]
        with pytest.raises(errors.BusyError, match="all 3 slots of model 'never'"):
            model.submit([[1]])
        pendings[1].cancel()
        with pytest.raises(errors.RequestCancelledError):
            pendings[1].result(10)
        model.submit([[1]])


def test_dropped_pendings_give_their_slots_back(shared: Client) -> None:
    model = shared.open("echo-4")
    for _ in range(50):
        model.submit(np.zeros(4, np.uint8))
        model(np.zeros(4, np.uint8))
    assert model.pool.count <= 4


def test_timeout_and_cancel(shared: Client) -> None:
    model = shared.open("never")
    pending = model.submit([[1]])
    with pytest.raises(TimeoutError):
        pending.result(0.01)
    assert not pending.done
    pending.cancel()
    for _ in range(2):
        with pytest.raises(errors.RequestCancelledError):
            pending.result(10)
    with pytest.raises(TimeoutError):
        model([[1]], timeout=0.01)


def test_refusals_keep_their_words(client: Client) -> None:
    with pytest.raises(
        errors.ModelNotFoundError, match=r"no model 'nope' is loaded \(loaded: echo-N, two, count\)"
    ):
        client.open("nope")
    with pytest.raises(errors.BadInputError, match="these inputs are not liked") as info:
        client.open("fail")([[1]])
    assert (info.value.code, info.value.remedy) == (100, "send others")
    with pytest.raises(errors.BadInputError, match="priority 77"):
        client.open("two", priority=77)
    with pytest.raises(errors.BadInputError, match="priority 32"):
        client.open("echo-4")(np.zeros(4, np.uint8), priority=32)


def test_state_and_reset(client: Client) -> None:
    first, second = client.open("count"), client.open("count")
    assert first.stateful
    assert [int(first([[0]])[0][0]) for _ in range(3)] == [1, 2, 3]
    assert int(second([[0]])[0][0]) == 1
    first.reset()
    assert int(first([[0]])[0][0]) == 1


def test_slot_in_place(shared: Client) -> None:
    model = shared.open("two")
    with model.slot() as slot:
        slot.inputs["a"][...] = 1.5
        slot.inputs[1] = np.full((2, 3), 7, np.int8)
        outputs = slot.run()
        assert outputs["x"] is slot.outputs["x"]
        assert float(outputs["x"][0, 0]) == 1.5
        slot.inputs["a"][...] = 2.5
        pending = slot.submit()
        assert float(pending.result()["x"][0, 3]) == 2.5
        assert list(slot.inputs) == ["a", "b"]
    with pytest.raises(errors.BadSlotError, match="given back"):
        slot.run()
    assert len(model.pool.free) + len(model._orphans) == model.pool.count


def test_slot_runs_one_request(shared: Client) -> None:
    model = shared.open("never")
    with model.slot() as slot:
        slot.submit()
        with pytest.raises(errors.BadSlotError, match="under way"):
            slot.submit()
    assert model.pool.free == []
    with pytest.raises(TimeoutError):  # reads the answer to the cancel that leaving the slot has sent
        model([[1]], timeout=0.2)
    model._sweep()
    assert model.pool.free


def test_threads_share_a_client(shared: Client) -> None:
    """Each thread's answers are its own, whoever read them."""
    model, slow = shared.open("echo-64"), shared.open("slow-0.2")
    failures: list[BaseException] = []

    def work(mark: int) -> None:
        try:
            for i in range(200):
                x = np.full(64, (mark * 31 + i) % 251, np.uint8)
                np.testing.assert_array_equal(model(x, timeout=20)[0], x)
        except BaseException as error:
            failures.append(error)

    slowly = threading.Thread(
        target=lambda: slow([[1]])
    )  # a reader that waits long must not hold up the others
    slowly.start()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in (*threads, slowly):
        if thread is not slowly:
            thread.start()
    for thread in (*threads, slowly):
        thread.join(30)
    assert not failures


def test_forked_children_are_clients_of_their_own(client: Client) -> None:
    """Parent and child go on at the same time, each with its own connection, session and slots."""
    model, x = client.open("echo-64"), bytes_of(64)
    model(x)
    child = os.fork()
    if not child:
        try:
            for i in range(100):
                np.testing.assert_array_equal(model(np.full(64, i, np.uint8))[0], np.full(64, i))
            os._exit(0)
        except BaseException:
            os._exit(1)
    for i in range(100, 200):
        np.testing.assert_array_equal(model(np.full(64, i, np.uint8))[0], np.full(64, i))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(model(x)[0], x)


def test_control(client: Client) -> None:
    steps: list[tuple[str, Any]] = []
    assert client.control("count", 3, on_event=lambda *what: steps.append(what)) == "counted"
    assert steps == [("step", 0), ("step", 1), ("step", 2)]
    with pytest.raises(errors.NotPermittedError, match="nobody may dance"):
        client.control("dance")


def test_close(here: Any, client: Client) -> None:
    model = client.open("echo-4")
    with client.open("echo-5") as other:
        other(np.zeros(5, np.uint8))
    assert here.service.open_sessions == 1
    with pytest.raises(errors.NotConnectedError, match="model 'echo-5' was closed"):
        other.reset()
    model.close()
    model.close()
    assert here.service.open_sessions == 0
    client.close()
    with pytest.raises(errors.NotConnectedError, match="this client was closed"):
        client.open("echo-4")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(errors.NotConnectedError, match=r"No such file.*start edged"):
        edged_ipc.connect(tmp_path / "none.sock")


def test_where_it_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGED_SOCKET", "/a/b.sock")
    assert client_module.find(None) == "/a/b.sock"
    assert client_module.find("/c") == "/c"
    monkeypatch.delenv("EDGED_SOCKET")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert client_module.default_paths() == ["/run/edged/edged.sock", f"{tmp_path}/edged/edged.sock"]


def test_turned_away_by_policy(here: Any) -> None:
    here.service.refused_uids.add(os.getuid())
    with pytest.raises(errors.NotPermittedError, match="may not infer"):
        edged_ipc.connect(here.path)


def test_importing_costs_nothing() -> None:
    code = (
        "import sys, edged_ipc; assert not {'numpy', 'msgspec', 'asyncio'} & set(sys.modules); "
        "edged_ipc.NotConnectedError; assert 'numpy' not in sys.modules; "
        "assert all(hasattr(edged_ipc, n) for n in edged_ipc.__all__)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edged_ipc.nothing  # noqa: B018


def test_a_session_without_slots_is_not_left_open(make_server: Callable[..., Any]) -> None:
    """The quota holds no slot of this model: every attempt must cost a session only as long as it lasts."""
    here = make_server(EchoService(Limits(sessions=3, memory_bytes=1000)))
    with edged_ipc.connect(here.path) as client:
        for _ in range(8):
            with pytest.raises(errors.QuotaExceededError, match="bytes of slots"):
                client.open("echo-5000")
        client.control("echo")
        assert here.service.open_sessions == 0
        client.open("echo-8")(bytes_of(8))


class Interrupt(BaseException):
    """What a signal's handler may raise."""


def test_interrupted_while_slots_are_added(shared: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon has counted them: who does not would read and write other memory than it from then on."""
    model = shared.open("echo-4")
    held = [model.slot()]
    plain = Channel.wait

    def wait(*_: Any, **__: Any) -> bool:
        raise Interrupt

    monkeypatch.setattr(Channel, "wait", wait)
    with pytest.raises(Interrupt):
        model.slot()
    monkeypatch.setattr(Channel, "wait", plain)
    held += [model.slot() for _ in range(4)]
    for i, slot in enumerate(held):
        slot.inputs[0][...] = i + 1
        np.testing.assert_array_equal(slot.run()[0], [i + 1] * 4)


def test_interrupted_while_a_request_is_sent(shared: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be under way: its slot is nobody's until that is known."""
    model = shared.open("slow-0.05")
    plain = Channel.post

    def post(self: Channel, *arguments: Any) -> None:
        plain(self, *arguments)
        raise Interrupt

    for use in (lambda: model.submit([[1]]), lambda: _submit(model)):
        monkeypatch.setattr(Channel, "post", post)
        with pytest.raises(Interrupt):
            use()
        monkeypatch.setattr(Channel, "post", plain)
        pending = [model.submit([[i]]) for i in range(3)]
        assert [int(p.result(10)[0][0]) for p in pending] == [0, 1, 2]


def _submit(model: Any) -> None:
    with model.slot() as slot:
        slot.inputs[0][...] = 7
        slot.submit()


@pytest.mark.parametrize("name", ["", "x" * 257, "\udcff"])
def test_names_that_cannot_be_sent_cost_no_connection(client: Client, name: str) -> None:
    """Nor the sessions that are open on it."""
    model = client.open("count")
    assert int(model([[0]])[0][0]) == 1
    with pytest.raises(errors.LocalProtocolError, match="Open cannot be sent"):
        client.open(name)
    with pytest.raises(errors.LocalProtocolError, match="Control cannot be sent"):
        client.control(name)
    assert int(model([[0]])[0][0]) == 2


def test_programs_of_any_name(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/\udcff" + 200 * "x"])
    with edged_ipc.connect(here.path) as client:
        assert client.control("echo", 1) == 1
