"""`edged codegen`: the folder, its facts, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edged.demo import MODELS as DEMO


def said(*words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "edged", "codegen", str(DEMO["int8"]), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_folder_of_c(tmp_path: Path) -> None:
    code, text = said("--target", "cortex-m7", "--name", "digits", "-o", str(tmp_path / "made"), "--json")
    assert code == 0, text
    facts = json.loads(text)
    assert facts["target"] == "cortex-m7"
    assert "dsp" in facts["kernels"]
    for name in ("digits.h", "digits.c", "Makefile", "CMakeLists.txt", "README.txt"):
        assert (tmp_path / "made" / name).is_file()


def test_refusals(tmp_path: Path) -> None:
    code, text = said("--target", "z80", "-o", str(tmp_path / "made"))
    assert code != 0
    assert "no target 'z80'" in text
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    code, text = said("-o", str(tmp_path / "full"))
    assert code != 0
    assert "is not empty" in text
