"""The units as they stand: what systemd makes of them, and how much they leave open."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
UNITS = ("edged.service", "edged.socket", "edged-control.socket")
EXAMPLES = sorted(path.name for path in (PACKAGING / "examples").iterdir())
MOST = 1.0
"""Exposure of the daemon's unit; systemd-resolved stands at 2.2, chrony at 3.7."""
OPENED = 2.2
"""With any one of the examples."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units with an executable that exists."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for name in UNITS:
        text = (PACKAGING / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/bin/edged", "/bin/true"))
    return tmp_path


def exposure(unit: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


def verified(folder: Path) -> str:
    """What systemd-analyze complains about."""
    command = ["systemd-analyze", "verify", "--man=no", *(str(folder / name) for name in UNITS)]
    done = subprocess.run(command, capture_output=True, text=True)
    return "\n".join(line for line in done.stderr.splitlines() if "edged" in line or str(folder) in line)


def test_systemd_finds_no_fault(units: Path) -> None:
    assert verified(units) == ""


def test_a_fault_would_be_found(units: Path) -> None:
    service = units / "edged.service"
    service.write_text(service.read_text() + "\n[Service]\nProtectSistem=strict\n")
    assert "ProtectSistem" in verified(units)


def test_little_is_left_open(units: Path) -> None:
    assert exposure(units / "edged.service") <= MOST


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_open_no_more_than_they_need(units: Path, name: str) -> None:
    drop = units / "edged.service.d"
    drop.mkdir()
    (drop / name).write_text((PACKAGING / "examples" / name).read_text())
    assert verified(units) == ""
    joined = units / "joined.service"  # --offline reads no drop-ins
    joined.write_text((units / "edged.service").read_text() + (drop / name).read_text())
    assert exposure(joined) <= OPENED
