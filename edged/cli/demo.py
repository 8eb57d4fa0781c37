"""`edged demo`: a daemon of its own, a client process, and real scans that the model was not trained on."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from edged.demo import MODELS
from edged.errors import BackendError

START_SECONDS = 30.0
CONFIG = """
[daemon]
runtime_dir = "{folder}"
state_dir = "{folder}/state"
log_level = "warning"

[[model]]
name = "digits"
path = "{model}"
"""


def wait_for(path: Path, daemon: subprocess.Popen[bytes]) -> None:
    """Returns when the daemon listens. BackendError when it ended, or took too long."""
    end = time.monotonic() + START_SECONDS
    while not path.exists():
        if daemon.poll() is not None:
            raise BackendError(f"the daemon ended with status {daemon.returncode}")
        if time.monotonic() > end:
            raise BackendError(f"the daemon did not listen on {path} within {START_SECONDS:.0f} s")
        time.sleep(0.02)


@click.command()
def demo() -> None:
    """Starts a daemon, reads handwritten digits through it from another process, and stops it."""
    with tempfile.TemporaryDirectory(prefix="edged-demo-") as name:
        folder = Path(name)
        config = folder / "edged.toml"
        config.write_text(CONFIG.format(folder=folder, model=MODELS["int8"]))
        daemon = subprocess.Popen([sys.executable, "-m", "edged", "--config", str(config), "run"])
        try:
            wait_for(folder / "edged.sock", daemon)
            click.echo(f"a daemon (pid {daemon.pid}) serves {MODELS['int8'].name} on {folder}/edged.sock\n")
            client = [sys.executable, "-m", "edged.demo.client", str(folder / "edged.sock")]
            status = subprocess.run(client, check=False).returncode
        finally:
            daemon.terminate()
            daemon.wait()
    sys.exit(status)
