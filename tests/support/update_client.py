"""A client process under which models are updated: threads that ask at a steady pace and check every answer.

    python update_client.py SOCKET MODEL ANSWERS.npz

ANSWERS.npz holds `inputs` (n, ...) and `answers` (versions, n, ...). An answer must be that of one version, and never of
an older one than before. A line on stdin names the phase that begins; when stdin ends a JSON object is printed: failures,
and for each phase the number of replies and percentiles in microseconds.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from edged_ipc import connect

THREADS, PAUSE = 2, 0.004


class Asker(threading.Thread):
    """One session. `phase` is set from outside."""

    def __init__(self, path: str, name: str, table: Any) -> None:
        super().__init__(daemon=True)
        self.path, self.name_, self.inputs, self.answers = path, name, table["inputs"], table["answers"]
        self.phase, self.over = "begin", False
        self.times: dict[str, list[float]] = {}
        self.failures: list[str] = []
        self.version = 0

    def run(self) -> None:
        rng = np.random.default_rng(self.ident)
        with connect(self.path) as client, client.open(self.name_) as model:
            key, out = model.inputs[0].name, model.outputs[0].name
            while not self.over:
                sleep(PAUSE)
                pick = int(rng.integers(len(self.inputs)))
                phase, begun = self.phase, perf_counter()
                try:
                    found = model({key: self.inputs[pick]})[out]
                except Exception as error:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    continue
                self.times.setdefault(phase, []).append((perf_counter() - begun) * 1e6)
                self._judge(pick, found)

    def _judge(self, pick: int, found: Any) -> None:
        same = [
            v for v in range(self.version, len(self.answers)) if np.array_equal(self.answers[v, pick], found)
        ]
        if not same:
            self.failures.append(f"an answer of no version since number {self.version}")
        else:
            self.version = same[0]


def main() -> None:
    path, name, answers = sys.argv[1:]
    table = np.load(Path(answers))
    askers = [Asker(path, name, table) for _ in range(THREADS)]
    for asker in askers:
        asker.start()
    for line in sys.stdin:
        for asker in askers:
            asker.phase = line.strip()
    for asker in askers:
        asker.over = True
        asker.join(30)
    report: dict[str, Any] = {"failures": [f for a in askers for f in a.failures][:20]}
    for phase in {p for a in askers for p in a.times}:
        times = np.array([t for a in askers for t in a.times.get(phase, [])])
        report[phase] = {"replies": len(times), **{f"p{p}": float(np.percentile(times, p)) for p in (50, 99)}}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
