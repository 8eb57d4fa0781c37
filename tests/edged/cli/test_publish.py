"""`edged publish` as a person uses it, from an empty folder to a repository that a TUF client takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edged.cli.publish_commands import publish
from edged.demo import MODELS
from edged.errors import EdgedError
from support.daemon import die_with_parent
from support.tuf_device import TufDevice

INT8 = str(MODELS["int8"])
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `edged publish WORDS` in one workspace; keys with a cheap scrypt."""
    monkeypatch.setattr("edged.publish.workspace.COST", 4)
    monkeypatch.setenv("EDGED_PASSPHRASE", "eight or more")

    def words(*given: str, fails: str = "") -> Result:
        done = CliRunner().invoke(publish, ["-w", str(tmp_path / "shop"), *given], catch_exceptions=True)
        if fails:
            assert isinstance(done.exception, EdgedError) or done.exit_code == 2, done.output
            assert fails in f"{done.exception} {done.output}"
        else:
            assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        return done

    return words


def test_from_nothing_to_a_rollout(run: Run, tmp_path: Path) -> None:
    out = run("init").output
    assert "2 of 3  root-1, root-2, root-3" in out
    assert "1.root.json with your gateways" in out
    assert "4 golden cases (equal bytes)" in run("add", INT8, "--name", "digits", "--version", "1").output
    assert run("release").output.startswith("released: digits 1\n")
    assert (
        "digits 1 goes to 10 % of channel stable" in run("rollout", "digits", "1", "--percent", "10").output
    )
    public = tmp_path / "shop" / "public"
    device = TufDevice(public, tmp_path / "device", (public / "metadata" / "1.root.json").read_bytes())
    assert json.loads(device.target("rollout/stable.json") or b"")["models"]["digits"]["percent"] == 10
    assert "timestamp-1 -> timestamp-2" in run("rotate-keys", "timestamp").output
    assert device.target("models/digits/1.json") is not None
    status = run("status").output
    assert "digits        1  released" in status
    assert "stable   digits        1  10 %" in status


def test_json(run: Run) -> None:
    run("init")
    added = json.loads(run("add", INT8, "--name", "digits", "--version", "1", "--json").output)
    assert (added["cases"], added["tolerance"], added["deltas"]) == (4, 0.0, [])
    released = json.loads(run("release", "--json").output)
    assert [v["version"] for v in released["released"]] == [1]
    assert {r["role"]: r["version"] for r in released["roles"]}["models"] == 2
    rule = json.loads(run("rollout", "digits", "1", "--device", "a", "--pause", "--json").output)
    assert (rule["devices"], rule["paused"]) == (["a"], True)
    facts = json.loads(run("status", "--json").output)
    assert [(v["model"], v["version"]) for v in facts["versions"]] == [("digits", 1)]
    assert facts["drafts"] == []


def test_own_golden_cases_limits_and_seals(run: Run, tmp_path: Path) -> None:
    run("init")
    cases = np.zeros((3, 8, 8, 1), np.int8)
    np.savez(tmp_path / "in.npz", image=cases)
    key = tmp_path / "key"
    key.write_text("ab" * 32)
    words = [
        "--inputs",
        str(tmp_path / "in.npz"),
        "--latency-ms",
        "2.5",
        "--seal",
        f"shop={key}",
        "--floor",
        "2",
    ]
    out = run("add", INT8, "--name", "digits", "--version", "2", *words).output
    assert "sealed with shop, 3 golden cases (equal bytes, median at most 2.5 ms)" in out


def test_what_is_wrong_is_said(run: Run, tmp_path: Path) -> None:
    run("release", fails="is no workspace (edged publish init")
    run("init", "--signer", "timestamp", fails="ROLE=URI,PEM")
    run("init")
    run("init", fails="is a workspace already")
    run("add", __file__, "--name", "digits", "--version", "1", fails="test_publish.py")
    run("add", INT8, "--name", "../x", "--version", "1", fails="is not a model name")
    run("add", INT8, "--name", "x", "--version", "1", "--outputs", "out.npz", fails="need their --inputs")
    run("rollout", "digits", "3", fails="digits 3 is not released")
    run("rotate-keys", "cook", fails="roles: root, targets")
    run("release", "--renew", "timestamp", fails="renewed every time")
    run("bundle", str(tmp_path / "stick"), "--days", "365", fails="30 to 90 days")


def test_a_root_is_renewed(run: Run) -> None:
    run("init")
    facts = json.loads(run("release", "--renew", "root", "--renew", "models", "--json").output)
    assert facts["root"] == 2
    assert {r["role"]: r["version"] for r in facts["roles"]} == {
        "root": 2, "targets": 1, "models": 2, "rollout": 1, "snapshot": 2, "timestamp": 2,
    }  # fmt: skip


def test_a_passphrase_from_a_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("init")
    monkeypatch.delenv("EDGED_PASSPHRASE")
    (tmp_path / "phrase").write_text("eight or more\n")
    run("--passphrase-file", str(tmp_path / "phrase"), "release")
    (tmp_path / "phrase").write_text("another passphrase\n")
    run("--passphrase-file", str(tmp_path / "phrase"), "release", fails="does not open the key")


def test_the_commands_of_the_readme(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order; all but `serve`, which does not end (see below)."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(INT8, "digits.tflite")
    np.savez("scans.npz", image=np.zeros((5, 8, 8, 1), np.int8))
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    lines = [
        line.partition("#")[0].split() for line in readme.splitlines() if line.startswith("edged publish ")
    ]
    commands = [words[4:] for words in lines if words[4] != "serve"]
    assert [words[0] for words in commands] == ["init", "add", "release", "rollout", "bundle", "rotate-keys"]
    for words in commands:
        run(*words)
    facts = json.loads(run("status", "--json").output)
    assert [(r["model"], r["version"], r["percent"]) for r in facts["rollouts"]] == [("digits", 7, 10.0)]
    assert (tmp_path / "stick" / "metadata" / "timestamp.json").is_file()


@pytest.mark.parametrize("module", ["tuf", "securesystemslib", "cryptography"])
@pytest.mark.parametrize("words", [["--help"], ["publish", "init", "--json"]])
def test_without_the_extra_the_other_commands_work_and_this_one_says_what_is_missing(
    module: str, words: list[str]
) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from edged.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    if words == ["--help"]:
        assert done.returncode == 0, done.stderr
        assert "Needs edged[updates]" in done.stdout
    else:
        assert done.returncode == 1
        assert "pip install 'edged[updates]'" in done.stderr


def test_serve(run: Run, tmp_path: Path) -> None:
    run("init")
    command = [sys.executable, "-m", "edged", "publish", "-w", str(tmp_path / "shop"), "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=die_with_parent,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        try:
            url = server.stdout.readline().split()[0]
            assert url.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(f"{url}/metadata/timestamp.json", timeout=10) as reply:
                assert json.loads(reply.read())["signed"]["_type"] == "timestamp"
        finally:
            server.kill()
