"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edged.config import Config
from edged.demo import MODELS
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.runtime.explain import explain
from edged.runtime.house import Call, House
from edged.source import Source
from support.daemon import running
from support.install import install

README = Path(__file__).resolve().parents[2] / "README.md"


def _block(first_line: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
    return next(b for b in blocks if b.startswith(first_line))


def test_the_client(tmp_path: Path) -> None:
    """The ten lines of the page, against a daemon."""
    with running(tmp_path, f'[[model]]\nname = "digits"\npath = "{MODELS["int8"]}"\n') as daemon:
        env = {**os.environ, "EDGED_SOCKET": str(daemon.socket)}
        command = [sys.executable, "-W", "error", "-c", _block("import numpy as np\nfrom edged_ipc")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].isdigit()


def test_the_example_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed from the page, it takes what it supports, and the plan says why not the rest."""
    text = _block("# squarer.py")
    assert len([line for line in text.splitlines() if line.strip()]) <= 40
    install(tmp_path, monkeypatch, "squarer", text)
    x, y, z = (Tensor(n, DType.FLOAT32, (4,)) for n in "xyz")
    nodes = (Node("square", (x,), (y,)), Node("abs", (y,), (z,)))
    model = Model((Graph("main", (x,), (z,), nodes),))
    house = House(Config(), only=["cpu", "squarer"])
    try:
        call = Call(house, house.load("m", Source("m", lambda: model), pin={"square": "squarer"}))
        value = np.array([1, -2, 3, 0.5], np.float32)
        np.testing.assert_array_equal(call([value])["z"], value * value)
        facts = explain(call.loaded)
        assert [s["device"] for s in facts["subgraphs"]] == ["squarer", "cpu"]
        assert "squarer refuses it: this device only squares" in facts["subgraphs"][1]["nodes"][0]["reason"]
        assert call([np.array([np.inf, 1, 1, 1], np.float32)])["z"][0] == np.inf  # the cpu took over
    finally:
        house.close()
