"""Faults around a running daemon: a backend in trouble, a full disk, a socket file that somebody deletes. It lives, and says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edged.demo import MODELS
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged_ipc import connect
from edged_ipc.errors import RequestError
from sim import isolated_plugin
from support.daemon import RunningDaemon, running
from support.small_models import chain

X = np.arange(8, dtype=np.int8)[None]

GARBAGE = """
import numpy as np
from edged.backend import Backend, BackendEntry, Cost, Delegate, YES
from edged.hookspecs import hookimpl

class Garbage(Delegate):
    def __init__(self, graph):
        self.inputs, self.outputs = graph.inputs, graph.outputs
    def run(self, ctx, inputs, outputs):
        outputs[0][:] = bytes(len(outputs[0]) + 5)     # a shape of its own

class GarbageBackend(Backend):
    name = "garbage"
    def supports(self, node): return YES
    def estimate(self, subgraph): return Cost(0.001)
    def prepare(self, ctx, subgraph): return Garbage(subgraph.graph)

@hookimpl
def edged_register_backends(config):
    return [BackendEntry("garbage", GarbageBackend)]
"""


def site(folder: Path, module: str, text: str) -> dict[str, str]:
    """A distribution with one plugin, and the environment in which a daemon finds it."""
    place = folder / "site"
    info = place / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (place / f"{module}.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edged]\n{module} = {module}\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(place), os.environ.get("PYTHONPATH")]))}


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, np.ndarray]:
    """Configuration of the model `m`, and what it answers to X."""
    file = tmp_path / "m.tflite"
    file.write_bytes(tflite.write(chain()))
    return f'[[model]]\nname = "m"\npath = "{file}"\n', Evaluation(chain()).run([X])["t2"]


def test_a_backend_that_returns_garbage(tmp_path: Path, model: tuple[str, np.ndarray]) -> None:
    """Outputs of a wrong size are the backend's failure: the cpu answers, and the device is reported."""
    config, wanted = model
    with running(tmp_path, config, site(tmp_path, "garbage", GARBAGE)) as daemon, daemon.connect() as client:
        np.testing.assert_array_equal(client.open("m")(X)[0], wanted)
        assert "device garbage is down" in daemon.log
        names = {d["name"]: d["failures"] for d in daemon.control("status")["devices"]}  # type: ignore[index,union-attr,call-overload]
        assert names["garbage"] >= 1


@pytest.fixture
def vendor(tmp_path: Path, model: tuple[str, np.ndarray]) -> Iterator[RunningDaemon]:
    config, _ = model
    environment = site(tmp_path, "vendor", Path(isolated_plugin.__file__).read_text())
    environment["ISOLATED_MOOD"] = str(tmp_path / "mood")
    config = f'{config}pin = {{ "fully_connected" = "vendor" }}\n[limits]\nrun_seconds = 1.0\n'
    with running(tmp_path, config, environment) as daemon:
        yield daemon


@pytest.mark.parametrize("mood", ["crash", "hang", "raise"])
def test_a_vendor_in_trouble(vendor: RunningDaemon, model: tuple[str, np.ndarray], mood: str) -> None:
    """Eight clients ask while the child crashes, hangs or raises: every reply is right."""
    with connect(str(vendor.socket)) as client:
        session = client.open("m", slots=8)
        for count in range(3):
            (vendor.folder / "mood").write_text(mood if count == 1 else "")
            pending = [session.submit(X) for _ in range(8)]
            for answer in pending:
                np.testing.assert_array_equal(answer.result(30)[0], model[1])
    assert "device vendor is down" in vendor.log
    assert vendor.process.poll() is None


def test_a_broken_plugin_is_named_in_status(tmp_path: Path, model: tuple[str, np.ndarray]) -> None:
    with running(tmp_path, model[0], site(tmp_path, "broken", "import no_such_library\n")) as daemon:
        (row,) = daemon.control("status")["broken_plugins"]  # type: ignore[misc]
        assert row["name"] == "broken"
        assert "no_such_library" in row["reason"]
        assert "plugin broken of broken 1.0 is skipped" in daemon.log


def test_two_plugins_of_one_name_stop_the_start(tmp_path: Path) -> None:
    environment = {**os.environ, **site(tmp_path, "cpu", "")}
    command = [sys.executable, "-m", "edged", "run"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 1
    assert "two plugins are named 'cpu'" in done.stderr
    assert "Traceback" not in done.stderr


def test_state_that_cannot_be_written(tmp_path: Path, model: tuple[str, np.ndarray]) -> None:
    """Measured costs that find no room (the folder is a file) are a line in the log; the daemon serves and ends in order."""
    (tmp_path / "state").write_text("in the way")
    with running(tmp_path, model[0]) as daemon, daemon.connect() as client:
        session = client.open("m")
        for _ in range(20):
            np.testing.assert_array_equal(session(X)[0], model[1])
        assert daemon.stop() == 0
        assert "measured costs could not be saved" in daemon.log


def test_a_deleted_socket_file(tmp_path: Path) -> None:
    """Who is connected stays; the next daemon takes the path again."""
    with (
        running(tmp_path, f'[[model]]\nname = "digits"\npath = "{MODELS["int8"]}"\n') as daemon,
        daemon.connect() as client,
    ):
        model = client.open("digits")
        daemon.socket.unlink()
        model(np.zeros((1, 8, 8, 1), np.int8))
        daemon.restart()
        with daemon.connect() as again:
            again.open("digits")(np.zeros((1, 8, 8, 1), np.int8))


def test_a_damaged_file_of_measurements(tmp_path: Path, model: tuple[str, np.ndarray]) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "measured.json").write_bytes(b'{"cpu": {"half a fi')
    with running(tmp_path, model[0]) as daemon, daemon.connect() as client:
        np.testing.assert_array_equal(client.open("m")(X)[0], model[1])
        assert "measured costs start anew" in daemon.log


def test_unknown_model_is_the_clients_error(tmp_path: Path) -> None:
    with (
        running(tmp_path) as daemon,
        daemon.connect() as client,
        pytest.raises(RequestError, match="loaded: none"),
    ):
        client.open("nothing")
