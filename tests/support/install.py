"""Installs a plugin's text as a distribution of its own, for this process and its children."""

from __future__ import annotations

import os
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

GROUP = "edged"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, text: str) -> None:
    """A distribution `module` 1.0 with one module and the entry point `module` in edged's group."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{module} = {module}\n")
    monkeypatch.syspath_prepend(str(folder))
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.delitem(sys.modules, module, raising=False)
    invalidate_caches()
