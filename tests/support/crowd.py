"""A crowd of client processes that are killed while they work, for the soak of edged_ipc.

    python crowd.py SOCKET WORKERS REQUESTS KILLS SECONDS_BETWEEN_KILLS

Goes on until as many requests were answered and as many workers killed. Every request carries a number that no other one has; its
answer must carry the same. Prints a line of JSON: requests answered right, wrong ones, and kills.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import select
import signal
import sys
import time

import numpy as np

from edged_ipc import connect

AT_ONCE = 4
REPORT = 50


def work(path: str, number: int, out: int) -> None:
    """One client until it is killed: several requests under way, each with its own number."""
    with connect(path, inline=number % 5 == 0) as client:
        model = client.open("echo-64", slots=AT_ONCE)
        serials = itertools.count(number << 32)
        right = wrong = 0
        while True:
            sent = []
            for _ in range(AT_ONCE):
                serial = next(serials)
                sent.append((serial, model.submit(np.frombuffer(serial.to_bytes(8, "little") * 8, np.uint8))))
            for serial, pending in sent:
                same = pending.result(30)[0].tobytes() == serial.to_bytes(8, "little") * 8
                right, wrong = right + same, wrong + (not same)
            if right + wrong >= REPORT:
                os.write(
                    out, f"{right} {wrong}\n".ljust(16).encode()
                )  # one write of a fixed size: never torn
                right = wrong = 0


def start(path: str, number: int, out: int) -> int:
    """The process id of a new worker."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work(path, number, out)
    finally:
        os._exit(1)


def main() -> None:
    path, pause = sys.argv[1], float(sys.argv[5])
    workers, requests, least = (int(x) for x in sys.argv[2:5])
    rng = random.Random(7)
    read, write = os.pipe()
    numbers = itertools.count(1)
    living = [start(path, next(numbers), write) for _ in range(workers)]
    right = wrong = kills = failed = 0
    next_kill = time.monotonic() + pause
    while (right + wrong < requests or kills < least) and failed < 10:
        if select.select([read], [], [], 0.01)[0]:
            for line in os.read(read, 16 * 256).split(b"\n"):
                if line.strip():
                    a, b = line.split()
                    right, wrong = right + int(a), wrong + int(b)
        if time.monotonic() >= next_kill:
            next_kill += pause
            place = rng.randrange(workers)
            ended = os.waitpid(living[place], os.WNOHANG)[0]
            failed += bool(ended)  # nobody killed it
            if not ended:
                os.kill(living[place], signal.SIGKILL)
                os.waitpid(living[place], 0)
            living[place] = start(path, next(numbers), write)
            kills += 1
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps({"right": right, "wrong": wrong, "kills": kills, "failed": failed}))


if __name__ == "__main__":
    main()
