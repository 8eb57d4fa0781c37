"""A real daemon for every test of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.demo import MODELS
from support.daemon import RunningDaemon, running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    """Serves the demo model as `digits`."""
    with running(tmp_path, f'[[model]]\nname = "digits"\npath = "{MODELS["int8"]}"\n') as found:
        yield found
