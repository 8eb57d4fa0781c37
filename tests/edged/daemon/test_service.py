"""The house as the server sees it: opening is neither held up by other models nor leaves anything behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from edged.config import Config, CpuConfig
from edged.daemon.control import Control
from edged.daemon.policy import Policy
from edged.daemon.service import HouseService
from edged.graph.model import Model
from edged.runtime.errors import ModelNotFoundError, ModelUnloadedError
from edged.runtime.house import House
from edged.source import Source
from edged_ipc.messages import Limits
from edged_ipc.service import Peer
from support.small_models import chain

ROOT = Peer(1, 0, 0, (), "apps")


@pytest.fixture
def service() -> Iterator[HouseService]:
    house = House(Config(cpu=CpuConfig(threads=1)), only=["cpu"])
    house.load("m", Source("m", chain))
    work = ThreadPoolExecutor(2)
    control = Control(house, (), 0.0, lambda: None, list)
    made = HouseService(house, control, Policy((), 0), Limits(), work)
    yield made
    work.shutdown()
    made.looks.shutdown()
    house.close()


def test_models_that_are_there_are_opened_while_others_are_loaded(service: HouseService) -> None:
    """As many loads as there are threads for slow work."""
    begun, go = threading.Semaphore(0), threading.Event()

    def read() -> Model:
        begun.release()
        assert go.wait(20)
        return chain()

    loads = [
        service.work.submit(service.house.load, name, Source(name, read)) for name in ("slow", "slower")
    ]
    assert begun.acquire(timeout=10)

    async def run() -> None:
        async with asyncio.timeout(5):
            opening = await service.open(ROOT, "m", None, None)  # type: ignore[arg-type]
            status = await service.control(ROOT, "status", {}, lambda *_: None)
            assert [model["name"] for model in status["models"]] == ["m"]
        service.close(opening.handle)

    try:
        asyncio.run(run())
    finally:
        go.set()
    for load in loads:
        load.result(20)


def test_an_open_that_fails_leaves_nothing(service: HouseService, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = service.house.registry.find("m")
    plain = service.house.registry.ready

    def unloaded(*arguments: Any) -> Any:
        plain(*arguments)
        raise ModelUnloadedError("it was unloaded at this moment")

    monkeypatch.setattr(service.house.registry, "ready", unloaded)
    for _ in range(3):
        with pytest.raises(ModelUnloadedError):
            asyncio.run(service.open(ROOT, "m", None, None))  # type: ignore[arg-type]
    with pytest.raises(ModelNotFoundError):
        asyncio.run(service.open(ROOT, "other", None, None))  # type: ignore[arg-type]
    assert (entry.leases, service.clients()) == (0, [])
