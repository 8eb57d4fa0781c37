"""The operators' own tests once more, with every model of theirs run through the kernels too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["test_arithmetic.py", "test_compare.py"]


def run(files: list[str], seconds: int) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not long", "-p", "support.through_kernels", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.timeout(120)
def test_arithmetic_through_kernels() -> None:
    run([f"tests/edged/ops/{name}" for name in QUICK], 110)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_every_operator_through_kernels() -> None:
    run(["tests/edged/ops"], 1190)
