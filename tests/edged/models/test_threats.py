"""The README's threat table names tests that exist: each row's last column is looked up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
README = ROOT / "README.md"


def rows() -> list[tuple[str, str, str]]:
    """(attack, file of tests, name in it) of every test that the table names."""
    table = README.read_text().partition("| attack or accident |")[2].partition("\n\n")[0]
    found = []
    for line in table.splitlines()[2:]:
        attack, _, tests = (cell.strip() for cell in line.strip("|").split("|"))
        for part in tests.split("; "):
            file, *names = re.findall(r"`([^`]+)`", part)
            found += [(attack, file, name) for name in names]
    return found


def test_the_table_is_there() -> None:
    assert len(rows()) > 25


@pytest.mark.parametrize(("attack", "file", "name"), rows())
def test_the_test_of_each_threat_exists(attack: str, file: str, name: str) -> None:
    (path,) = (ROOT / "tests").rglob(file)
    text = path.read_text()
    assert f"def {name}(" in text or f'"{name}":' in text, f"{attack}: {file} has no {name}"
