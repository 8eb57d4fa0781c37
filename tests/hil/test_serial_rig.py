"""The rig for a real board, on a serial port behind which QEMU stands: the same tests run on it unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edged.cli import edged
from support import boards

SUITE = Path(__file__).with_name("test_board.py")
RIG = """
targets:
  main:
    resources:
      RawSerialPort: {{port: {port}, speed: 115200}}
    drivers:
      SerialBoardDriver: {{}}
      BoardStrategy: {{}}
imports:
  - edged_backends.mcu.rig.drivers
"""


@pytest.mark.skipif("EDGED_RIG" in os.environ, reason="it brings a rig of its own")
@pytest.mark.skipif(bool(boards.MISSING), reason=boards.REASON or "everything is here")
def test_the_board_tests_run_on_a_serial_port(tmp_path: Path) -> None:
    pytest.importorskip("labgrid", reason="rigs need labgrid: pip install 'edged[hil]'")
    with boards.rig("mps2-an386", tmp_path) as board:
        rig = tmp_path / "rig.yaml"
        rig.write_text(RIG.format(port=board.port))
        done = CliRunner().invoke(edged, ["hil", "run", "--rig", str(rig), "--suite", str(SUITE)])
    assert done.exit_code == 0, done.output
    assert done.output.count("passed") == 2
    assert done.output.count("skipped: ") == 3
    assert "differences 0" in done.output
