"""The asyncio client and its models."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged_ipc import connect_async, errors
from edged_ipc.listening import bind
from edged_ipc.messages import Limits
from sim.echo_service import EchoService


@pytest.mark.parametrize("inline", [False, True])
def test_many_at_once(here: Any, inline: bool) -> None:
    async def run() -> None:
        async with await connect_async(here.path, inline=inline) as client:
            model = await client.open("echo-1000", slots=32)
            inputs = [np.full(1000, i, np.uint8) for i in range(32)]
            for x, outputs in zip(inputs, await asyncio.gather(*map(model, inputs)), strict=True):
                np.testing.assert_array_equal(outputs["y"], x)
            assert len(model.pool.free) == model.pool.count
            await model.close()
        assert here.service.open_sessions == 0

    asyncio.run(run())


def test_slots_grow(here: Any) -> None:
    async def run() -> None:
        async with await connect_async(here.path) as client:
            model = await client.open("slow-0.02")
            inputs = [np.array([i], np.int32) for i in range(20)]
            got = await asyncio.gather(*map(model, inputs))
            assert [int(o[0][0]) for o in got] == list(range(20))

    asyncio.run(run())


def test_control_state_and_refusals(here: Any) -> None:
    async def run() -> None:
        async with await connect_async(here.path) as client:
            steps: list[Any] = []
            assert await client.control("count", 2, on_event=lambda *what: steps.append(what)) == "counted"
            assert steps == [("step", 0), ("step", 1)]
            model = await client.open("count")
            assert [int((await model([[0]]))[0][0]) for _ in range(2)] == [1, 2]
            await model.reset()
            assert int((await model([[0]]))[0][0]) == 1
            with pytest.raises(errors.ModelNotFoundError):
                await client.open("nope")
            with pytest.raises(errors.BadInputError, match="input 'n' is int32"):
                await model(np.zeros(7, np.int32))
            with pytest.raises(errors.BadInputError, match="not liked"):
                await (await client.open("fail"))([[1]])
            assert len(model.pool.free) == model.pool.count

    asyncio.run(run())


def test_cancelled_tasks_cancel_requests(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(slots=2)))

    async def run() -> None:
        async with await connect_async(here.path) as client:
            model = await client.open("never", slots=2)
            for _ in range(6):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await model([[1]])
                await client.control("echo")  # its answer comes behind that of the cancelled request
            assert len(model.pool.free) == model.pool.count

    asyncio.run(run())


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(errors.NotConnectedError, match="start edged"):
        asyncio.run(connect_async(tmp_path / "none.sock"))


def test_restart(there: Any) -> None:
    async def run() -> None:
        async with await connect_async(there.path) as client:
            model, never = await client.open("echo-8"), await client.open("never")
            x = np.arange(8, dtype=np.uint8)
            await model(x)
            waiting = asyncio.create_task(never([[1]]))
            await client.control("echo")
            there.kill()
            with pytest.raises(errors.UnknownOutcomeError):
                await waiting
            there.start()
            np.testing.assert_array_equal((await model(x))[0], x)
            await asyncio.gather(*(model(x) for _ in range(10)))

    asyncio.run(run())


def test_cancelled_while_slots_are_added(here: Any) -> None:
    """The daemon counts slots that it was told of, so the client counts them too, whoever has given up waiting."""

    async def run() -> None:
        async with await connect_async(here.path) as client:
            model = await client.open("echo-4")
            for _ in range(3):
                tasks = [asyncio.create_task(model(np.full(4, i, np.uint8))) for i in range(model.pool.count + 1)]
                await asyncio.sleep(0)  # the last of them asks for more slots
                tasks[-1].cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await client.control("echo")
                inputs = [np.full(4, 100 + i, np.uint8) for i in range(model.pool.count + 2)]
                for x, outputs in zip(inputs, await asyncio.gather(*map(model, inputs)), strict=True):
                    np.testing.assert_array_equal(outputs[0], x)

    asyncio.run(run())


def test_a_cancelled_open_leaves_no_session(here: Any) -> None:
    async def run() -> None:
        async with await connect_async(here.path) as client:
            for _ in range(3):
                opening = asyncio.create_task(client.open("echo-4"))
                await asyncio.sleep(0)  # Open is sent
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening
            for _ in range(3):
                await client.control("echo")
            assert here.service.open_sessions == 0

    asyncio.run(run())


def test_a_cancelled_connect_leaves_no_socket(tmp_path: Path) -> None:
    """Nobody accepts: the greeting waits until it is given up."""

    async def run() -> None:
        with bind(tmp_path / "s"):
            before = len(os.listdir("/proc/self/fd"))
            connecting = asyncio.create_task(connect_async(tmp_path / "s"))
            await asyncio.sleep(0.01)
            assert len(os.listdir("/proc/self/fd")) == before + 1
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())


def test_a_session_without_slots_is_not_left_open(make_server: Callable[..., Any]) -> None:
    here = make_server(EchoService(Limits(sessions=3, memory_bytes=1000)))

    async def run() -> None:
        async with await connect_async(here.path) as client:
            for _ in range(8):
                with pytest.raises(errors.QuotaExceededError, match="bytes of slots"):
                    await client.open("echo-5000")
            await client.control("echo")
            assert here.service.open_sessions == 0

    asyncio.run(run())
