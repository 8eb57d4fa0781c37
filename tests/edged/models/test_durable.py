"""Files that come under their final names for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.models import points
from edged.models.durable import put


class StoppedHere(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("point", ["put.sync", "put.rename"])
def test_a_file_that_was_stopped_half_way_still_opens_for_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """By its mode: root, whom tests may run as, may open anything."""

    def stop(name: str) -> None:
        if name == point:
            raise StoppedHere

    monkeypatch.setattr(points, "hook", stop)
    partial = tmp_path / "partial"
    partial.write_bytes(b"bytes")
    with pytest.raises(StoppedHere):
        put(partial, tmp_path / "whole" / "name")
    assert partial.stat().st_mode & 0o200


def test_a_finished_file_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "partial").write_bytes(b"bytes")
    put(tmp_path / "partial", tmp_path / "whole" / "name")
    assert (tmp_path / "whole" / "name").stat().st_mode & 0o777 == 0o444
