"""The C thread pool under ThreadSanitizer, and a pool with a mistake in it, which the sanitizer must see."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXT = ROOT / "backends" / "kernels" / "ext"
SOURCE = ROOT / "tests" / "kernels" / "threads.c"
MISTAKES = {
    "an answer that is not waited for": (
        "await_others(pool, parts - own);",
        "(void)own;",
    ),
    "parts counted before they are done": (
        "        work(&pool->job, next_of(ticket), thread);\n",
        "        if (thread > 0) {\n            atomic_fetch_add(&pool->done, 1);\n        }\n"
        "        work(&pool->job, next_of(ticket), thread);\n        if (thread > 0) {\n            continue;\n        }\n",
    ),
}


def run(folder: Path, pool: str) -> subprocess.CompletedProcess[str]:
    """Builds the program with this pool's source, and runs it."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed")
    (folder / "pool.c").write_text(pool)
    program = folder / "threads"
    includes = [folder, EXT, EXT.parent, Path(sysconfig.get_paths()["include"])]
    flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=thread", "-no-pie", "-fno-pie", "-pthread", "-w"]
    built = subprocess.run(
        [compiler, *flags, *(f"-I{i}" for i in includes), SOURCE, "-o", program, "-Wl,--unresolved-symbols=ignore-all"],
        capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    if "tsan" in built.stderr and "cannot find" in built.stderr:
        pytest.skip("gcc's ThreadSanitizer (libtsan) is not installed")
    assert built.returncode == 0, built.stderr
    found = subprocess.run(["setarch", "-R", program], capture_output=True, text=True, timeout=100)
    if "personality" in found.stderr:  # a container that forbids it: then with the addresses as they come
        found = subprocess.run([program], capture_output=True, text=True, timeout=100)
    if "unexpected memory mapping" in found.stderr:
        pytest.skip("ThreadSanitizer cannot run with this kernel's address layout")
    return found


def test_no_race(tmp_path: Path) -> None:
    found = run(tmp_path, (EXT / "pool.c").read_text())
    assert (found.returncode, found.stdout) == (0, "ok\n"), found.stderr


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_seen(tmp_path: Path, mistake: str) -> None:
    right, wrong = MISTAKES[mistake]
    source = (EXT / "pool.c").read_text()
    assert right in source
    found = run(tmp_path, source.replace(right, wrong))
    assert found.returncode != 0
