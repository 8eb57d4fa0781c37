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
    environment, problem = _environment(labgrid, path)
    if problem:
        pytest.fail(problem, pytrace=False)
    try:
        target, problem = _serving(environment, path)
        if problem:
            pytest.fail(problem, pytrace=False)  # the reason alone, for whoever reads the report
        yield target
    finally:
        environment.cleanup()


def _environment(labgrid: Any, path: str) -> tuple[Any, str]:
    """The rig's environment, or why there is none."""
    try:
        return labgrid.Environment(path), ""
    except Exception as error:
        return None, f"{path} is no rig: {_line(error)}"


def _serving(environment: Any, path: str) -> tuple[Any, str]:
    """The target `main`, its board serving, or why it does not."""
    try:
        target = environment.get_target("main")
        if target is None:
            return None, f"the rig {path} has no target `main`"
        target.get_driver("BoardStrategy").transition("serving")
    except Exception as error:
        return None, f"the rig {path} does not serve: {_line(error)}"
    return target, ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
