"""The commands that need no daemon, as a person runs them: what they print, and their exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edged.demo import MODELS, SCANS
from edged.demo.client import as_input

INT8, FLOAT = str(MODELS["int8"]), str(MODELS["float"])


def edged(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "edged", *words], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == status, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def test_check(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"\x1c\0\0\0TFL3 and then nothing of use")
    out = edged("check", INT8, str(bad), "/nowhere.tflite", status=1).stdout.splitlines()
    assert out[0].startswith(f"{INT8}: ok, 5 ops, ")
    assert "arena" in out[0]
    assert out[1].startswith(f"{bad}: refused: ")
    assert out[2] == "/nowhere.tflite: refused: /nowhere.tflite: No such file or directory"
    assert json.loads(edged("check", "--json", INT8).stdout)["ok"] is True


def test_show() -> None:
    out = edged("show", INT8).stdout
    assert "signature serving_default(image) -> (probabilities) = main" in out
    assert "%probabilities:int8[?x10] = softmax(" in out


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_infer(tmp_path: Path, backend: str) -> None:
    with np.load(SCANS) as archive:
        images, labels = archive["images"], archive["labels"]
    np.savez(tmp_path / "in.npz", image=as_input(images)[:, 0])
    words = [
        "--inputs",
        str(tmp_path / "in.npz"),
        "--outputs",
        str(tmp_path / "out.npz"),
        "--backend",
        backend,
    ]
    edged("infer", INT8, *words, "--signature", "serving_default")
    with np.load(tmp_path / "out.npz") as archive:
        answers = archive["probabilities"].argmax(axis=1)
    assert (answers == labels).mean() >= 0.97  # fifty scans in one run: the batch is symbolic


def test_infer_by_position_and_random() -> None:
    assert edged("infer", FLOAT, "--seed", "3").stdout == edged("infer", FLOAT, "--seed", "3").stdout


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"image": np.zeros((1, 8, 8, 1), np.float32)},
            "input 'image' has dtype float32, the model takes int8",
        ),
        ({"image": np.zeros((1, 9, 8, 1), np.int8)}, "cannot be resized to 1x9x8x1, it is ?x8x8x1"),
        ({"img": np.zeros((1, 8, 8, 1), np.int8)}, "no input 'image' (given: img)"),
    ],
)
def test_infer_mistakes(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "in.npz", **arrays)
    assert message in edged("infer", INT8, "--inputs", str(tmp_path / "in.npz"), status=1).stderr


def test_infer_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "in.npz").write_text("hello")
    assert "not an .npz file" in edged("infer", INT8, "--inputs", str(tmp_path / "in.npz"), status=1).stderr
    assert (
        "no signature 'x' (it has: serving_default)"
        in edged("infer", INT8, "--signature", "x", status=1).stderr
    )
    assert "no backend 'gpu' (there are: cpu" in edged("infer", INT8, "--backend", "gpu", status=1).stderr


def test_plan() -> None:
    facts = json.loads(edged("plan", INT8, "--json").stdout)
    assert [s["device"] for s in facts["subgraphs"]] == ["cpu"]
    assert all("us here" in n["reason"] for n in facts["subgraphs"][0]["nodes"])
    out = edged(
        "plan", INT8, "--backend", "cpu", "--backend", "reference", "--pin", "softmax=reference"
    ).stdout
    assert "subgraph 1 on reference" in out
    refused = edged(
        "plan", INT8, "--backend", "cpu", "--backend", "reference", "--require", "reference=0.5", status=1
    )
    assert "of the MACs would run on reference, 50.0% are required" in refused.stderr


def test_bench_and_profile() -> None:
    facts = json.loads(edged("bench", INT8, "--seconds", "0.05", "--json", "--profile").stdout)
    assert facts["p50_us"] > 0
    assert facts["p50_us"] <= facts["p99_us"]
    assert len(facts["profile"]) == 5
    assert "GMAC/s" in edged("bench", INT8, "--seconds", "0.05").stdout


def test_tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    out = edged("tune", INT8, "--threads", "1").stdout
    assert "layers with a choice" in out
    assert list(tmp_path.glob("tune-*.json"))


def test_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    out = edged("doctor").stdout
    assert "device cpu" in out
    assert "state folder" in out


def test_demo() -> None:
    out = edged("demo").stdout
    assert "of 50 scans read right" in out


def test_usage_errors() -> None:
    assert "No such command 'chekc'" in edged("chekc", status=2).stderr
    assert "unknown key 'deamon'" in _with_config("[deamon]\n")


def _with_config(text: str) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(text)
        file.flush()
        return edged("--config", file.name, "infer", INT8, status=1).stderr


def test_imports_stay_light() -> None:
    code = "import sys, edged, edged_ipc; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
