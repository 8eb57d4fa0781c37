"""Files as sources of models: what happens to the file later does not happen to the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edged.errors import ModelError
from edged.formats import tflite
from edged.source import copied, read_model
from support.small_models import chain

CUT_SHORT = """
import sys
from pathlib import Path
from edged.source import read_model
path = Path(sys.argv[1])
model = read_model(path)
before = [bytes(t.data) for t in model.main.constants]
path.write_bytes(b"")  # what `cp new old` begins with
assert [bytes(t.data) for t in model.main.constants] == before
"""


def test_a_file_that_is_overwritten_takes_nobody_along(tmp_path: Path) -> None:
    """In a process of its own: of a mapped file the constants would be gone, and the process with them."""
    path = tmp_path / "m.tflite"
    path.write_bytes(tflite.write(chain()))
    done = subprocess.run([sys.executable, "-c", CUT_SHORT, path], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_copy_is_read_only_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    data = tflite.write(chain()) + bytes(100_000)
    path.write_bytes(data)
    view = copied(path)
    assert view.readonly
    assert bytes(view) == data


@pytest.mark.parametrize(("content", "reason"), [(b"", "the file is empty"), (None, "No such file")])
def test_files_that_are_none(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=reason):
        read_model(path)
