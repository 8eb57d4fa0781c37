"""The file of measured times: whole or not at all, and worth nothing when it is not what we wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged_backends import records
from edged_backends.catalogue import host_catalogue

KERNELS = host_catalogue()
TIMES = {"conv 1x8x8x3": {"im2col": 900.5, "indirect": 450.0}}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = records.save(str(tmp_path / "new"), KERNELS, TIMES)
    assert records.load(str(tmp_path / "new"), KERNELS) == TIMES
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_each_set_of_kernels_has_a_file_of_its_own(tmp_path: Path) -> None:
    records.save(str(tmp_path), KERNELS, TIMES)
    assert records.load(str(tmp_path), host_catalogue("none")) == {}


def test_without_a_folder_nothing_is_known(tmp_path: Path) -> None:
    assert records.load("", KERNELS) == {}
    assert records.load(str(tmp_path / "missing"), KERNELS) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 99, "records": {}}',
        '{"version": 1}',
        '{"version": 1, "records": {"k": {"o": "x"}}}',
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    records.cache_file(str(tmp_path), KERNELS).write_text(text)
    assert records.load(str(tmp_path), KERNELS) == {}


def test_the_name_of_the_cpu_is_fit_for_a_file() -> None:
    name = records.cpu_name(KERNELS)
    assert name
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789.+-")
