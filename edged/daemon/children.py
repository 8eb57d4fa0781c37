"""The two processes that an update needs: one that has a network and no models, one that has models and no
clients.

Both are started anew each time, report in JSON lines, and are killed when they say nothing for too long.
"""

from __future__ import annotations

import json
import os
import pickle
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import msgspec

from edged.config import Config
from edged.daemon.trial import Candidate, Verdict
from edged.errors import UpdateError
from edged.models.errors import TrialError
from edged.models.poll import Order

SILENCE_SECONDS = 300.0
LINE_BYTES = 1 << 20


class StoppedError(UpdateError):
    """The daemon is being stopped: what was under way is continued after the next start."""


class Children:
    """Runs one child at a time; `stop` ends it."""

    def __init__(self) -> None:
        self.stopping = False
        self._child: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Ends the child that runs, if one does; none is started any more."""
        self.stopping = True
        child = self._child
        if child is not None:
            child.kill()

    def poll(self, order: Order, report: Callable[[Mapping[str, Any]], None]) -> None:
        """One poll; its facts go to `report` as they come. UpdateError when it ends without a last word."""
        last: dict[str, Any] = {}

        def take(line: bytes) -> None:
            last.clear()
            last.update(json.loads(line))
            report(last)

        status = self._run("edged.models.poll", msgspec.json.encode(order), take, SILENCE_SECONDS, None)
        if last.get("event") not in ("done", "refused"):
            raise UpdateError(f"the updater's process ended early ({_ending(status)})")

    def trial(self, config: Config, candidate: Candidate, seconds: float) -> Verdict:
        """The verdict of a trial. TrialError when it took too long; `Crashed` is for the caller: no verdict
        came."""
        lines: list[bytes] = []
        status = self._run(
            "edged.daemon.trial",
            pickle.dumps((config, msgspec.json.encode(candidate))),
            lines.append,
            seconds,
            seconds,
        )
        if status == 0 and lines:
            return msgspec.json.decode(lines[-1], type=Verdict)
        raise TrialError(f"the trial's process ended without a verdict ({_ending(status)})")

    def _run(
        self, module: str, order: bytes, take: Callable[[bytes], None], silence: float, most: float | None
    ) -> int:
        """The exit status; every line of its stdout goes to `take`. Killed after `silence` seconds without
        one, and after `most` in all: the status is then -SIGALRM. StoppedError when `stop` was called."""
        if self.stopping:
            raise StoppedError("the daemon is stopping")
        command = [sys.executable, "-m", module]
        with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            self._child = child
            try:
                late = not _converse(child, order, take, silence, most)
            finally:
                if child.poll() is None:
                    child.kill()
                status = child.wait()
                self._child = None
        if self.stopping:
            raise StoppedError("the daemon is stopping")
        return -signal.SIGALRM if late else status


def _converse(
    child: subprocess.Popen[bytes], order: bytes, take: Callable[[bytes], None], silence: float,
    most: float | None,
) -> bool:  # fmt: skip
    """Writes the order and reads lines until the child is done; False when it was too slow."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        rest = memoryview(order)
        while rest:
            rest = rest[child.stdin.write(rest) :]
        child.stdin.close()
    except BrokenPipeError:
        pass  # it has gone; its status says why
    end = monotonic() + (most if most is not None else float("inf"))
    buffered = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, min(silence, end - monotonic()))):
                return False
            data = os.read(child.stdout.fileno(), 1 << 16)
            if not data:
                break
            *lines, buffered = (buffered + data).split(b"\n")
            if len(buffered) > LINE_BYTES:
                return False
            for line in lines:
                take(line)
    try:
        child.wait(10.0)
    except subprocess.TimeoutExpired:
        return False
    return True


def _ending(status: int) -> str:
    """How a process ended, in words."""
    if status == -signal.SIGALRM:
        return "it took too long and was ended"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
