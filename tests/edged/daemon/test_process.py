"""The daemon process as its users meet it: serving, commands, signals, restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from edged.demo import MODELS, SCANS
from edged.demo.client import as_input
from edged.formats import tflite
from edged_ipc import connect
from edged_ipc.errors import (
    IpcError,
    ModelNotFoundError,
    ModelUnloadedError,
    RequestError,
    SignatureChangedError,
)
from support.daemon import RunningDaemon, running
from support.small_models import chain


def cli(daemon: RunningDaemon, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`edged` as a person runs it."""
    command = [sys.executable, "-m", "edged", "--config", str(daemon.config), *words]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)


def _wait_for(daemon: RunningDaemon, text: str) -> None:
    """Until the log says `text`."""
    end = threading.Event()
    for _ in range(200):
        if text in daemon.log:
            return
        end.wait(0.05)
    pytest.fail(f"{text!r} did not come: {daemon.log}")


def _digits() -> tuple[np.ndarray, np.ndarray]:
    with np.load(SCANS) as archive:
        return as_input(archive["images"]), archive["labels"]


def test_digits(daemon: RunningDaemon) -> None:
    inputs, labels = _digits()
    with daemon.connect() as client:
        model = client.open("digits", slots=4)
        answers = [int(model(x)["probabilities"].argmax()) for x in inputs]
        pending = [model.submit(x) for x in inputs[:4]]
        together = [int(p.result(10)["probabilities"].argmax()) for p in pending]
    assert np.mean(np.array(answers) == labels) >= 0.97
    assert together == answers[:4]


def test_inline_gives_the_same(daemon: RunningDaemon) -> None:
    inputs, _ = _digits()
    with daemon.connect() as shared, daemon.connect(inline=True) as inline:
        a, b = shared.open("digits"), inline.open("digits")
        for x in inputs[:10]:
            np.testing.assert_array_equal(a(x)["probabilities"], b(x)["probabilities"])


def test_load_swap_unload(daemon: RunningDaemon, tmp_path: Path) -> None:
    """The commands, with what they print; a swap under an open session; a changed signature."""
    files = []
    for seed, width in ((1, 8), (2, 8), (3, 16)):
        path = tmp_path / f"m{seed}.tflite"
        path.write_bytes(tflite.write(chain(seed=seed, width=width)))
        files.append(path)
    assert "m version 1 on cpu" in cli(daemon, "load", str(files[0]), "--name", "m").stdout
    x = np.arange(8, dtype=np.int8)[None]
    with daemon.connect() as client:
        model = client.open("m")
        first = model(x)[0]
        assert "m version 2 on cpu" in cli(daemon, "swap", "m", str(files[1])).stdout
        assert not np.array_equal(model(x)[0], first)
        refused = cli(daemon, "swap", "m", str(files[2]), check=False)
        assert refused.returncode == 1
        assert "another signature: input x was" in refused.stderr
        assert "unloaded" in cli(daemon, "unload", "m").stdout
        with pytest.raises(ModelUnloadedError):
            model(x)
        with pytest.raises(ModelNotFoundError, match="loaded: digits"):
            client.open("m")


def test_forced_swap_tells_open_sessions(daemon: RunningDaemon, tmp_path: Path) -> None:
    """A session whose slots no longer fit is told so, and not served from memory of the wrong shape."""
    for seed, width in ((1, 8), (3, 160)):
        (tmp_path / f"m{seed}.tflite").write_bytes(tflite.write(chain(seed=seed, width=width)))
    cli(daemon, "load", str(tmp_path / "m1.tflite"), "--name", "m")
    with daemon.connect() as client:
        model = client.open("m")
        model(np.zeros((1, 8), np.int8))
        cli(daemon, "swap", "m", str(tmp_path / "m3.tflite"), "--force")
        with pytest.raises(SignatureChangedError):
            model(np.zeros((1, 8), np.int8))


def test_status_ps_plan_logs(daemon: RunningDaemon) -> None:
    inputs, _ = _digits()
    with daemon.connect() as client:
        client.open("digits")(inputs[0])
        facts = json.loads(cli(daemon, "status", "--json").stdout)
        assert facts["models"][0]["requests"] == {"ok": 1}
        assert facts["devices"][0]["state"] == "up"
        text = cli(daemon, "status").stdout
        assert "digits" in text
        assert "cpu" in text
        assert str(os.getpid()) in cli(daemon, "ps").stdout
    assert "model digits loaded" in cli(daemon, "logs").stdout


def test_infer_bench_and_plan_through_the_daemon(daemon: RunningDaemon, tmp_path: Path) -> None:
    inputs, labels = _digits()
    np.savez(tmp_path / "in.npz", image=inputs[0])
    words = ["--inputs", str(tmp_path / "in.npz"), "--outputs", str(tmp_path / "out.npz")]
    cli(daemon, "infer", "digits", "--daemon", *words)
    with np.load(tmp_path / "out.npz") as archive:
        assert int(archive["probabilities"].argmax()) == labels[0]
    assert "p99" in cli(daemon, "bench", "digits", "--daemon", "--seconds", "0.1").stdout
    assert "us measured" in cli(daemon, "plan", "digits", "--daemon").stdout


def test_bad_files_are_refused_with_the_reason(daemon: RunningDaemon, tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused = cli(daemon, "load", str(bad), check=False)
    assert refused.returncode == 1
    assert "git-lfs pointer" in refused.stderr
    assert len(json.loads(cli(daemon, "status", "--json").stdout)["models"]) == 1


def test_sigterm_drains_and_removes_its_sockets(daemon: RunningDaemon) -> None:
    assert daemon.stop() == 0
    assert not daemon.socket.exists()
    assert "stopping" in daemon.log


def test_clients_come_back_after_a_crash(daemon: RunningDaemon) -> None:
    inputs, _ = _digits()
    with daemon.connect() as client:
        model = client.open("digits")
        before = model(inputs[0])["probabilities"].copy()
        daemon.restart(signal.SIGKILL)
        np.testing.assert_array_equal(model(inputs[0])["probabilities"], before)


def test_second_daemon_is_refused(daemon: RunningDaemon) -> None:
    command = [sys.executable, "-m", "edged", "--config", str(daemon.config), "run"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert "somebody listens on" in second.stderr
    assert "Traceback" not in second.stderr
    assert daemon.control("status")["pid"] == daemon.process.pid


def test_reload_reads_models_and_policy(daemon: RunningDaemon, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(tflite.write(chain()))
    text = daemon.config.read_text()
    daemon.config.write_text(f'{text}[[model]]\nname = "m"\npath = "{tmp_path}/m.tflite"\n')
    daemon.process.send_signal(signal.SIGHUP)
    end = threading.Event()
    for _ in range(200):
        if len(daemon.control("status")["models"]) == 2:  # type: ignore[arg-type]
            break
        end.wait(0.05)
    else:
        pytest.fail(daemon.log)
    daemon.config.write_text(text + "[nonsense]\n")
    daemon.process.send_signal(signal.SIGHUP)
    _wait_for(daemon, "the configuration stays as it was")
    assert "unknown key 'nonsense'" in daemon.log
    assert len(daemon.control("status")["models"]) == 2  # type: ignore[arg-type]


def test_reload_follows_the_model_tables(daemon: RunningDaemon, tmp_path: Path) -> None:
    """A table that changes swaps its model, one that goes takes it along; a client's session goes on."""
    text = daemon.config.read_text()
    (tmp_path / "m.tflite").write_bytes(tflite.write(chain()))
    table = f'[[model]]\nname = "m"\npath = "{tmp_path}/m.tflite"\n'
    daemon.config.write_text(text + table)
    daemon.process.send_signal(signal.SIGHUP)
    _wait_for(daemon, "model m loaded")
    with connect(daemon.socket) as client:
        model = client.open("m")
        x = np.zeros((1, 8), np.int8)
        first = model(x)[0]
        daemon.config.write_text(f"{text}{table}priority = 3\n")
        daemon.process.send_signal(signal.SIGHUP)
        _wait_for(daemon, "model m swapped to version 2")
        np.testing.assert_array_equal(model(x)[0], first)
        daemon.config.write_text(text)
        daemon.process.send_signal(signal.SIGHUP)
        _wait_for(daemon, "model m unloaded")
        with pytest.raises(ModelUnloadedError):
            model(x)
    assert len(daemon.control("status")["models"]) == 1  # type: ignore[arg-type]


def test_models_that_cannot_be_loaded_do_not_stop_it(tmp_path: Path) -> None:
    models = f'[[model]]\nname = "gone"\npath = "/nowhere.tflite"\n[[model]]\nname = "digits"\npath = "{MODELS["int8"]}"\n'
    with running(tmp_path, models) as daemon:
        assert "model gone is not loaded: /nowhere.tflite: No such file" in daemon.log
        assert len(daemon.control("status")["models"]) == 1  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_policy_by_peer_credentials(tmp_path: Path) -> None:
    """nobody may infer what the policy names and nothing else; root may do everything."""
    config = (
        f'[[model]]\nname = "digits"\npath = "{MODELS["int8"]}"\n'
        '[[policy]]\nuser = "nobody"\nmodels = ["digits"]\nsessions = 2\n'
    )
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    with running(tmp_path, config) as daemon:
        script = (
            "import os, edged_ipc.client\n"
            f"path = {str(daemon.socket)!r}\n"
            "with edged_ipc.client.connect(path) as first:\n    first.open('digits')\n"  # imports everything
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "client = edged_ipc.client.connect(path)\n"
            "def attempt(act):\n"
            "    try:\n        act(); print('ok')\n"
            "    except Exception as error:\n        print(type(error).__name__, error)\n"
            "attempt(lambda: client.open('digits'))\n"
            "attempt(lambda: client.open('other'))\n"
            "attempt(lambda: client.control('unload', {'name': 'digits'}))\n"
            "attempt(lambda: client.open('digits'))\n"
            "attempt(lambda: client.open('digits'))\n"
        )
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        lines = result.stdout.splitlines()
        assert len(lines) == 5, result.stderr
        assert lines[0] == "ok"
        assert lines[1].startswith("NotPermittedError uid 65534 may not use model 'other'")
        assert lines[2].startswith("NotPermittedError uid 65534 may not ask for 'unload'")
        assert lines[3] == "ok"
        assert lines[4].startswith("QuotaExceededError")


def test_unknown_command(daemon: RunningDaemon) -> None:
    with (
        daemon.connect() as client,
        pytest.raises(RequestError, match=r"no command 'dance'.*there are: load, unload"),
    ):
        client.control("dance")


def test_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(IpcError):
        connect(str(tmp_path / "none.sock"))
