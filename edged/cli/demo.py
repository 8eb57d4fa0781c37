"""`edged demo`: the bundled model on real scans that it was not trained on."""

from __future__ import annotations

from typing import Any

import click
import numpy as np

from edged.cli.local import load_file, opened
from edged.config import Config
from edged.demo import MODELS, SCANS
from edged.runtime.house import Call

SHADES = " .:-=+*#%@"
Array = np.ndarray[Any, np.dtype[Any]]


def picture(image: Array) -> list[str]:
    """An 8x8 scan (0 ... 16) as text, one line a row."""
    return ["".join(SHADES[int(v) * (len(SHADES) - 1) // 16] * 2 for v in row) for row in image]


def as_input(images: Array) -> Array:
    """Scans (N, 8, 8) of 0 ... 16 as the int8 model takes them: real 0 ... 1, stored -128 ... 127."""
    return (np.rint(images / 16 * 255) - 128).astype(np.int8)[..., None]


def side_by_side(images: Array, captions: list[str]) -> str:
    """Pictures in a row, captions below."""
    rows = zip(*(picture(image) for image in images), strict=True)
    lines = ["   ".join(row) for row in rows]
    return "\n".join([*lines, "   ".join(c.ljust(16) for c in captions)])


@click.command()
@click.option("--backend", default="cpu", show_default=True)
def demo(backend: str) -> None:
    """Reads handwritten digits with the bundled int8 model."""
    with np.load(SCANS) as archive:
        images, labels = archive["images"], archive["labels"]
    with opened(Config(), [backend]) as house:
        call = Call(house, load_file(house, MODELS["int8"]))
        answers, times = [], []
        for stored in as_input(images):
            (probabilities,) = call([stored[None]]).values()
            answers.append(int(probabilities.argmax()))
            request = call.run()
            times.append(request.run_seconds * 1e6)
        call.close()
    for start in range(0, 10, 5):
        shown = list(zip(answers, labels, strict=True))[start : start + 5]
        captions = [f"reads {a}, is {label}" for a, label in shown]
        click.echo(side_by_side(images[start : start + 5], captions) + "\n")
    right = sum(a == label for a, label in zip(answers, labels, strict=True))
    click.echo(
        f"{right} of {len(labels)} scans read right, median {np.median(times):.1f} us each on {backend}"
    )
