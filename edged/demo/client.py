"""The demo's client process: sends real scans to the daemon through shared memory, and shows what comes back.

    python -m edged.demo.client SOCKET

An application of one's own looks like this; it needs edged_ipc and NumPy only.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from edged.demo import SCANS
from edged_ipc import connect

SHADES = " .:-=+*#%@"
SHOWN = 10
Array = np.ndarray[Any, np.dtype[Any]]


def picture(image: Array) -> list[str]:
    """An 8x8 scan (0 ... 16) as text, one line a row."""
    return ["".join(SHADES[int(v) * (len(SHADES) - 1) // 16] * 2 for v in row) for row in image]


def as_input(images: Array) -> Array:
    """Scans (N, 8, 8) of 0 ... 16 as the int8 model takes them, (N, 1, 8, 8, 1): real 0 ... 1, stored -128
    ... 127."""
    return (np.rint(images / 16 * 255) - 128).astype(np.int8)[:, None, :, :, None]


def side_by_side(images: Array, captions: list[str]) -> str:
    """Pictures in a row, captions below."""
    rows = zip(*(picture(image) for image in images), strict=True)
    lines = ["   ".join(row) for row in rows]
    return "\n".join([*lines, "   ".join(c.ljust(16) for c in captions)])


def main(path: str) -> int:
    """0 when at least 97 of 100 scans are read right."""
    with np.load(SCANS) as archive:
        images, labels = archive["images"], archive["labels"]
    answers, times = [], []
    with connect(path) as client:
        model = client.open("digits")
        for stored in as_input(images):
            start = time.perf_counter()
            outputs = model(stored)
            times.append((time.perf_counter() - start) * 1e6)
            answers.append(int(outputs["probabilities"].argmax()))
    for start in range(0, SHOWN, 5):
        shown = list(zip(answers, labels, strict=True))[start : start + 5]
        captions = [f"reads {answer}, is {label}" for answer, label in shown]
        print(side_by_side(images[start : start + 5], captions) + "\n")
    right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
    print(f"{right} of {len(labels)} scans read right; median {np.median(times):.0f} us to an answer")
    return 0 if right >= 0.97 * len(labels) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
