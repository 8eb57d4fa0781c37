"""The rig that the HIL tests run on: $EDGED_RIG (a labgrid environment), else the Cortex-M4 in QEMU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import boards

RIGS = Path(__file__).parents[2] / "hil" / "rigs"


@pytest.fixture(scope="session")
def rig() -> Iterator[Any]:
    """The labgrid target `main`, serving."""
    path = os.environ.get("EDGED_RIG", str(RIGS / "qemu-m4.yaml"))
    labgrid = pytest.importorskip("labgrid", reason="rigs need labgrid: pip install 'edged[hil]'")
    if "EDGED_RIG" not in os.environ and boards.MISSING:
        pytest.skip(boards.REASON)
    environment = labgrid.Environment(path)
    target = environment.get_target("main")
    try:
        target.get_driver("BoardStrategy").transition("serving")
        yield target
    finally:
        environment.cleanup()
