"""The reader of any format, and what importing a format costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edged.errors import ModelError
from edged.formats import read
from edged.formats.tflite import write
from edged.graph.model import DType, Graph, Model, Tensor


def test_the_reader_of_any_format_knows_files_by_their_marks() -> None:
    x = Tensor("x", DType.FLOAT32, (1,))
    assert read(write(Model((Graph("main", (x,), (x,), ()),)))).main.name == "main"


def test_the_reader_of_any_format_says_what_a_file_is() -> None:
    with pytest.raises(
        ModelError, match=r"^a\.tflite: not a model that edged reads: it is a git-lfs pointer"
    ):
        read(b"version https://git-lfs.github.com/spec/v1\n", name="a.tflite")
    with pytest.raises(ModelError, match=r"^not a model that edged reads: it is an empty file$"):
        read(b"")


def test_reading_a_file_takes_neither_numpy_nor_the_flatbuffers_package() -> None:
    program = (
        "import sys, edged.formats.tflite; print([m for m in ('numpy', 'flatbuffers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
