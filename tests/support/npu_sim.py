"""The simulated NPU of hil/npu_sim, built for a test, and the [[npu]] table that brings it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edged.config import NpuConfig

FOLDER = Path(__file__).resolve().parents[2] / "hil" / "npu_sim"


def build(folder: Path) -> Path:
    """The shared library, built into `folder`; skips where there is no compiler."""
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("the simulated NPU is C: gcc and make are needed")
    made = subprocess.run(
        ["make", "-s", "-C", str(FOLDER), f"OUT={folder}"], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 0, made.stderr
    return folder / "libnpu_sim.so"


def table(library: Path, *, name: str = "sim", lines: str = "", **options: object) -> str:
    """An [[npu]] table as text; `options` are the delegate's own, `lines` further keys."""
    text = ", ".join(f'{k} = "{v}"' for k, v in options.items())
    return f'[[npu]]\nname = "{name}"\nlibrary = "{library}"\noptions = {{ {text} }}\n{lines}\n'


def config(library: Path, *, name: str = "sim", only: tuple[str, ...] = (), **options: object) -> NpuConfig:
    """The same as a configuration object. `only` is our allow-list of ops, `ops` the delegate's own."""
    return NpuConfig(
        name=name, library=str(library), ops=only, options={k: str(v) for k, v in options.items()}
    )
