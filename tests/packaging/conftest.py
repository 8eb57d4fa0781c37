"""The Debian package, built once, and a container with systemd that it is installed in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.container import Container, booted

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[[model]]
name = "digits"
path = "/opt/edged/lib/python3.11/site-packages/edged/demo/digits_int8.tflite"
pin = { conv_2d = "stuck" }

[limits]
run_seconds = 1.0

[[policy]]
user = "barred"
infer = false

[[policy]]
user = "small"
sessions = 1

[[policy]]
group = "edged"
load = true
control = true

[[policy]]
"""
ENTRY = "[edged]\nstuck = stuck_backend\n"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package for this machine, stored uncompressed."""
    missing = [tool for tool in ("dpkg-deb", "gcc") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"the package cannot be built without {', '.join(missing)}")
    out = tmp_path_factory.mktemp("deb")
    env = {**os.environ, "PYTHON": sys.executable, "EDGED_DEB_COMPRESSION": "none"}
    command = ["sh", str(ROOT / "packaging/debian/build"), "amd64", str(out)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = out.glob("*.deb")
    return found


@pytest.fixture(scope="session")
def newer(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same package under a higher version."""
    folder = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "-R", str(package), str(folder / "root")], check=True)
    control = folder / "root/DEBIAN/control"
    text = control.read_text()
    version = text.split("Version: ", 1)[1].split("\n", 1)[0]
    control.write_text(text.replace(f"Version: {version}", f"Version: {version}+later"))
    made = folder / "edged_later.deb"
    subprocess.run(
        ["dpkg-deb", "-Znone", "--root-owner-group", "-b", str(folder / "root"), str(made)], check=True
    )
    return made


@pytest.fixture(scope="module")
def machine(package: Path, newer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A booted Debian with users app, barred, small and steward (in the group edged), and the package installed."""
    with booted(tmp_path_factory.mktemp("container"), "edged-test") as container:
        for source, name in ((package, "edged.deb"), (newer, "later.deb")):
            (container.root / "srv" / name).write_bytes(source.read_bytes())
        for script in (ROOT / "tests/packaging").glob("app_*.py"):
            (container.root / "srv" / script.name).write_bytes(script.read_bytes())
        for user in ("app", "barred", "small", "steward"):
            container.run("useradd", "--no-create-home", user)
        container.run("dpkg", "-i", "/srv/edged.deb")
        container.run("usermod", "-aG", "edged", "steward")
        _configure(container)
        yield container


def _configure(container: Container) -> None:
    """Our configuration, and the plugin of the watchdog's test."""
    (container.root / "etc/edged/edged.toml").write_text(CONFIG)
    site = container.root / "opt/edged/lib/python3.11/site-packages"
    (site / "stuck_backend.py").write_bytes((ROOT / "tests/sim/stuck_backend.py").read_bytes())
    (site / "stuck_backend-1.dist-info").mkdir()
    (site / "stuck_backend-1.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: stuck-backend\nVersion: 1\n"
    )
    (site / "stuck_backend-1.dist-info/entry_points.txt").write_text(ENTRY)
    drop = container.root / "etc/systemd/system/edged.service.d"
    drop.mkdir(parents=True)
    (drop / "test.conf").write_text("[Service]\nWatchdogSec=3\n")
    container.run("systemctl", "daemon-reload")
    container.run("systemctl", "restart", "edged.service")
