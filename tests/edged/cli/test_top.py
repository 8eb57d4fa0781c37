"""`edged top` in a real terminal: tmux draws it, a key ends it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edged.demo import MODELS
from support.daemon import running


def tmux(folder: Path, *words: str) -> str:
    """One tmux command on a server of its own."""
    return subprocess.run(
        ["tmux", "-S", str(folder / "tmux"), *words], capture_output=True, text=True, check=True, timeout=20
    ).stdout


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: apt-get install tmux")
def test_top(tmp_path: Path) -> None:
    with running(tmp_path, f'[[model]]\nname = "digits"\npath = "{MODELS["int8"]}"\n') as daemon:
        command = (
            f"{sys.executable} -m edged --config {daemon.config} top --interval 0.1; echo ended; sleep 60"
        )
        tmux(tmp_path, "-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "30", command)
        try:
            with daemon.connect() as client:
                model = client.open("digits")
                screen = ""
                for _ in range(200):
                    model(np.zeros((1, 8, 8, 1), np.int8))
                    screen = tmux(tmp_path, "capture-pane", "-p")
                    if "digits" in screen and "/s" in screen and "busy" in screen:
                        break
                    threading.Event().wait(0.05)
                assert "p99 us" in screen
                assert "MiB RSS" in screen
                assert "cpu" in screen
                assert "q ends" in screen
            tmux(tmp_path, "send-keys", "q")
            for _ in range(100):
                screen = tmux(tmp_path, "capture-pane", "-p")
                if "ended" in screen:
                    break
                threading.Event().wait(0.05)
            assert "ended" in screen
            assert "Traceback" not in screen
        finally:
            tmux(tmp_path, "kill-server")
