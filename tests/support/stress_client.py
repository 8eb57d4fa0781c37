"""One client process of the stress test: threads that ask, and check every reply against what its version must answer.

    python stress_client.py SOCKET SEED THREADS REQUESTS

Prints `ok N` every hundred right replies of a thread, and a line of JSON at the end. A wrong, lost or doubled reply is printed at once, as WRONG.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from typing import Any

import numpy as np

from edged_ipc import connect
from edged_ipc.errors import (
    BusyError,
    DeadlineMissedError,
    QuotaExceededError,
    RequestCancelledError,
)

WIDTH, INPUTS, MODELS = 16, 64, 8
Array = np.ndarray[Any, np.dtype[Any]]
MAY_HAPPEN = (BusyError, DeadlineMissedError, RequestCancelledError, QuotaExceededError)


def inputs() -> Array:
    """The inputs that all clients choose from: (64, 1, 16) int8."""
    return np.random.default_rng(99).integers(-128, 128, (INPUTS, 1, WIDTH)).astype(np.int8)


def answers(table: Array, model: int, version: int) -> Array:
    """What `model` at `version` answers to each input; odd and even versions are different files."""
    found: Array = table[model, version % 2]
    return found


class Asker(threading.Thread):
    """Asks one model after another, several requests at a time, until it has `requests` right replies."""

    def __init__(self, path: str, seed: int, requests: int, table: Array) -> None:
        super().__init__(daemon=True)
        self.path, self.requests, self.table = path, requests, table
        self.rng = np.random.default_rng(seed)
        self.seen: Counter[str] = Counter()
        self.given = inputs()

    def run(self) -> None:
        with connect(self.path) as client:
            models = {n: client.open(f"m{n}", slots=4) for n in self.rng.choice(MODELS, 3, replace=False)}
            while self.seen["ok"] < self.requests:
                number = int(self.rng.choice(list(models)))
                picks = self.rng.integers(0, INPUTS, int(self.rng.integers(1, 5)))
                self._round(models[number], number, picks)

    def _round(self, model: Any, number: int, picks: Array) -> None:
        sent = []
        for pick in picks:
            priority = int(self.rng.integers(0, 32))
            deadline = 0.0005 if self.rng.random() < 0.02 else None
            sent.append((pick, model.submit(self.given[pick], priority=priority, deadline=deadline)))
        if self.rng.random() < 0.02:
            sent[-1][1].cancel()
        for pick, pending in sent:
            try:
                outputs = pending.result(30)
            except MAY_HAPPEN as error:
                self.seen[type(error).__name__] += 1
                continue
            right = answers(self.table, number, outputs.version)[pick]
            if not np.array_equal(outputs[0], right):
                print(f"WRONG model m{number} version {outputs.version} input {pick}", flush=True)
                self.seen["wrong"] += 1
            self.seen["ok"] += 1
            if self.seen["ok"] % 100 == 0:
                sys.stdout.write("ok 100\n")
                sys.stdout.flush()


def main(path: str, seed: int, threads: int, requests: int) -> None:
    table = np.load(f"{path}.table.npy")
    askers = [Asker(path, seed * 1000 + i, requests, table) for i in range(threads)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    total: Counter[str] = sum((a.seen for a in askers), Counter())
    print(json.dumps(total), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
