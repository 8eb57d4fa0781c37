"""An echo server, in this process (to look into) or in one of its own (to kill)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edged_ipc.listening import bind
from edged_ipc.server import Server
from sim.echo_service import EchoService

SERVICE = Path(__file__).resolve().parent.parent / "sim" / "echo_service.py"


class Here:
    """A server in this process: `service` and `server` can be looked into; `reports` is what went wrong."""

    def __init__(self, path: Path, service: EchoService, **options: Any) -> None:
        self.path = str(path)
        self.service = service
        self.reports: list[tuple[str, BaseException | None]] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.server = Server(service, self.loop, lambda *what: self.reports.append(what), **options)
        self.server.listen(bind(path), "apps")
        self.server.start()

    def on_thread(self, call: Callable[[], Any]) -> Any:
        """The result of `call` on the polling thread, after all that it was given before."""
        result: list[Any] = []
        ready = threading.Event()

        def run() -> None:
            result.append(call())
            ready.set()

        self.server.poll.post(run)
        assert ready.wait(10)
        return result[0]

    def close(self) -> None:
        self.server.stop()
        asyncio.run_coroutine_threadsafe(_cancel_others(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_others() -> None:
    """Ends what the service still does on the loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Here]]:
    made: list[Here] = []

    def make(service: EchoService | None = None, **options: Any) -> Here:
        made.append(Here(tmp_path / f"s{len(made)}.sock", service or EchoService(), **options))
        return made[-1]

    yield make
    for here in made:
        here.close()


@pytest.fixture
def here(make_server: Callable[..., Here]) -> Here:
    return make_server()


class There:
    """An echo server in a process of its own, which dies with the test."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SERVICE), self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def stop(self) -> None:
        """In order: drains first."""
        assert self.process.stdin is not None
        self.process.stdin.write("drain\n")
        self.process.stdin.flush()
        self.wait()

    def wait(self) -> None:
        self.process.wait(20)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def there(tmp_path: Path) -> Iterator[There]:
    server = There(tmp_path / "echo.sock")
    yield server
    if server.process.poll() is None:
        server.kill()
