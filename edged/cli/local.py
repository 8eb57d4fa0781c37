"""What the commands that run models in this process share: options, and a house that is closed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from edged import config as configuration
from edged.cli.files import read_model
from edged.config import Config
from edged.runtime.entry import Entry
from edged.runtime.house import House
from edged.source import Source


@contextmanager
def opened(config: Config, backends: Sequence[str] | None) -> Iterator[House]:
    """A house with these backends, closed at the end. Measured costs and tuning records of the user are
    used."""
    paths = configuration.paths(config)
    house = House(config, only=backends, state=paths.state, cache=str(paths.cache))
    try:
        yield house
    finally:
        house.close()


def load_file(house: House, path: Path, **changes: Any) -> Entry:
    """The model of a file, loaded under its own name."""
    return house.load(path.stem, Source(str(path), lambda: read_model(path, optimised=False)), **changes)


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """KEY=VALUE words of a repeated option."""
    split = [v.partition("=") for v in values]
    for key, sign, value in split:
        if not (key and sign and value):
            raise click.BadParameter(f"{key!r} is not of the form NAME=VALUE", param_hint=option)
    return {key: value for key, _, value in split}
