"""A daemon that goes away: real processes, killed and stopped in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from time import sleep
from typing import Any

import numpy as np
import pytest

import edged_ipc
from edged_ipc import errors
from edged_ipc.messages import Limits
from edged_ipc.service import Opening
from sim.echo_service import EchoService, tensors

X = np.arange(64, dtype=np.uint8)


@pytest.mark.parametrize("inline", [False, True])
def test_killed_daemon(there: Any, inline: bool) -> None:
    """What was under way is reported, not repeated; the next call finds the new daemon and its own slots."""
    with edged_ipc.connect(there.path, inline=inline) as client:
        model, never = client.open("echo-64", slots=3), client.open("never")
        np.testing.assert_array_equal(model(X)[0], X)
        pending = never.submit([[1]])
        client.control("echo")
        boot = client.boot
        there.kill()
        with pytest.raises(errors.UnknownOutcomeError, match="may have been run") as info:
            pending.result(10)
        assert info.value.code == 104
        there.start()
        np.testing.assert_array_equal(model(X)[0], X)
        assert client.boot != boot
        assert len({id(s) for s in model.pool.free}) == model.pool.count == 3
        with pytest.raises(TimeoutError):
            never([[1]], timeout=0.01)


def test_waits_for_a_daemon_that_comes_back(there: Any) -> None:
    with edged_ipc.connect(there.path) as client:
        model = client.open("echo-64")
        there.kill()
        timer = threading.Timer(0.3, there.start)
        timer.start()
        np.testing.assert_array_equal(model(X)[0], X)
        timer.join()


def test_patience_ends(there: Any) -> None:
    with edged_ipc.connect(there.path, patience=0.1) as client:
        model = client.open("echo-64")
        there.kill()
        with pytest.raises((errors.NotConnectedError, errors.UnknownOutcomeError)):
            model(X)
        with pytest.raises(errors.NotConnectedError, match=r"Connection refused|gone"):
            model(X)


def test_stopped_in_order_loses_nothing(there: Any) -> None:
    """Drain answers what was read; what was not is known to have not been run, and goes to the next daemon."""
    with edged_ipc.connect(there.path) as client:
        model = client.open("slow-0.2")
        pending = model.submit([[5]])
        client.control("echo")
        there.stop()
        assert int(pending.result(10)[0][0]) == 5
        there.start()
        assert int(model([[6]])[0][0]) == 6


def test_calls_right_through_restarts(there: Any) -> None:
    """A caller during restarts in order: every call is answered, and with its own data."""
    stop = threading.Event()
    failures: list[BaseException] = []
    count = [0]

    def call() -> None:
        try:
            with edged_ipc.connect(there.path) as client:
                model = client.open("echo-64")
                while not stop.is_set():
                    x = np.full(64, count[0] % 251, np.uint8)
                    np.testing.assert_array_equal(model(x)[0], x)
                    count[0] += 1
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    for _ in range(3):
        before = count[0]
        while count[0] < before + 20 and thread.is_alive():
            sleep(0.001)
        there.stop()
        there.start()
    stop.set()
    thread.join(20)
    assert not failures
    assert count[0] > 60


def test_deleted_socket_file(there: Any) -> None:
    """Those who are connected go on; a new daemon takes the place."""
    with edged_ipc.connect(there.path, patience=5) as client:
        model = client.open("echo-64")
        os.unlink(there.path)
        np.testing.assert_array_equal(model(X)[0], X)
        with pytest.raises(errors.NotConnectedError):
            edged_ipc.connect(there.path)
        there.kill()
        there.start()
        np.testing.assert_array_equal(model(X)[0], X)


def test_another_model_under_the_name(make_server: Callable[..., Any], tmp_path: Any) -> None:
    class Changed(EchoService):
        async def open(self, *args: Any) -> Opening:
            opening = await super().open(*args)
            inputs, outputs = tensors("two")
            return Opening(opening.handle, 2, inputs, outputs)

    first = make_server()
    with edged_ipc.connect(first.path, patience=1) as client:
        model = client.open("echo-64")
        second = make_server(Changed())
        first.server.stop()
        client.path = second.path
        with pytest.raises(errors.SignatureChangedError, match="open it again"):
            model(X)
        assert second.service.open_sessions == 0


def test_slots_of_a_daemon_that_lives_are_not_used_again(make_server: Callable[..., Any]) -> None:
    """The daemon drops us, but may still write to the slot of what it runs: that memory is left alone."""
    here = make_server(EchoService(Limits()))
    with edged_ipc.connect(here.path) as client:
        model = client.open("slow-0.3")
        pending = model.submit([[1]])
        client.control("echo")
        (served,) = here.server.served
        here.on_thread(lambda: served.drop("for the test"))
        with pytest.raises(errors.UnknownOutcomeError):
            pending.result(10)
        number = model._tainted[0][1].number
        with model.slot() as slot:
            assert slot._slot is not None
            assert slot._slot.number != number
            slot.inputs[0][...] = 2
            assert int(slot.run()[0][0]) == 2
