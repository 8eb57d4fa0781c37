"""The arm64 package, cross-built: unpacked into an arm64 Debian and run there by QEMU's user mode, with the NEON kernels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edged.demo import MODELS
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.runtime.house import seeded

ROOT = Path(__file__).resolve().parents[2]
PARTS = "python3.11-minimal,libpython3.11-stdlib,libc6,libgcc-s1,libstdc++6,zlib1g"
EMULATOR = Path("/usr/bin/qemu-aarch64-static")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arm64 Debian with Python, nothing run in it yet, and the package unpacked."""
    tools = ("mmdebstrap", "dpkg-deb", "aarch64-linux-gnu-gcc")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    missing += [] if EMULATOR.exists() else ["qemu-user-static"]
    if missing or os.geteuid() != 0:
        pytest.skip(f"an arm64 Debian takes root and {', '.join(missing) or 'nothing else'}")
    folder = tmp_path_factory.mktemp("arm64")
    made = folder / "root"
    options = ["--arch=arm64", "--variant=extract", f"--include={PARTS}", "bookworm", str(made)]
    done = subprocess.run(["mmdebstrap", *options], capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"no arm64 packages are to be had here: {done.stderr[-500:]}")
    env = {**os.environ, "PYTHON": sys.executable, "EDGED_DEB_COMPRESSION": "none"}
    command = ["sh", str(ROOT / "packaging/debian/build"), "arm64", str(folder)]
    built = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (package,) = folder.glob("*_arm64.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(made)], check=True)
    shutil.copy(EMULATOR, made / "usr/bin")
    return made


def inside(root: Path, cpu: str, *words: str) -> str:
    """What the package's Python prints there."""
    command = ["chroot", str(root), f"/usr/bin/{EMULATOR.name}", "-cpu", cpu, "/opt/edged/bin/python", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


SETS = [
    pytest.param("cortex-a53", "neon", marks=pytest.mark.long),
    pytest.param("cortex-a76", "neon+dotprod", marks=pytest.mark.long),
    ("max", "neon+dotprod+i8mm"),
]


@pytest.mark.parametrize(("cpu", "sets"), SETS)
def test_it_finds_the_instruction_sets(root: Path, cpu: str, sets: str) -> None:
    lines = inside(root, cpu, "-m", "edged", "doctor", "--json").splitlines()
    found = {item["what"]: item for item in map(json.loads, lines)}
    assert f"instruction sets {sets}," in found["device cpu"]["seen"]


@pytest.mark.parametrize("cpu", ["cortex-a53", "cortex-a76", "max"])
def test_a_model_gives_the_same_bytes(root: Path, cpu: str) -> None:
    model = tflite.read(MODELS["int8"].read_bytes())
    x = seeded(model.main.inputs, 3)[0]
    np.savez(root / "x.npz", image=x)
    inside_model = "/opt/edged/lib/python3.11/site-packages/edged/demo/digits_int8.tflite"
    inside(root, cpu, "-m", "edged", "infer", inside_model, "--inputs", "/x.npz", "--outputs", "/y.npz")
    (right,) = Evaluation(model).run([x]).values()
    with np.load(root / "y.npz") as answers:
        (name,) = answers.files
        np.testing.assert_array_equal(answers[name], right)
