"""Tensors in and out of the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.cli.tensors import hand_out, load_npz
from edged.errors import InputError


def test_a_file_that_is_no_npz_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"in\.npz: not an \.npz"):
        load_npz(tmp_path / "in.npz")


def test_what_was_written_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand_out({"y": np.arange(3, dtype=np.int8)}, tmp_path / "out.npz")
    assert load_npz(tmp_path / "out.npz")["y"].tolist() == [0, 1, 2]
    assert "out.npz: y" in capsys.readouterr().out


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    hand_out({"y": np.zeros((1, 2), np.float32)}, None)
    assert capsys.readouterr().out == "y: float32[1x2] [0. 0.]\n"
