"""`edged hil run`: outcomes and figures out of a report, and a suite run on a rig."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edged.cli import edged
from edged.cli import hil as hil_commands
from edged.cli.hil import outcomes

SUITES = Path(__file__).parents[2] / "hil"
REPORT = """<testsuites><testsuite>
<testcase name="one" time="0.5"><properties><property name="latency_ms" value="3.1"/></properties></testcase>
<testcase name="two" time="1"><failure message="assert 1 == 2">long text</failure></testcase>
<testcase name="three" time="0"><skipped message="no faults here"/></testcase>
</testsuite></testsuites>"""


def test_rows_of_a_report() -> None:
    assert list(outcomes(REPORT)) == [
        ("one", "passed", "0.50", "latency_ms 3.1"),
        ("two", "failure: assert 1 == 2", "1.00", ""),
        ("three", "skipped: no faults here", "0.00", ""),
    ]


SUITE = """
import os
def test_it_knows_the_rig(record_property):
    record_property("rig", os.path.basename(os.environ["EDGED_RIG"]))
def test_that_fails():
    assert 1 == 2
"""


def test_a_suite_runs_on_a_rig(tmp_path: Path) -> None:
    rig, suite, report = tmp_path / "my.yaml", tmp_path / "test_suite.py", tmp_path / "report.xml"
    rig.write_text("targets: {}\n")
    suite.write_text(SUITE)
    words = ["hil", "run", "--rig", str(rig), "--suite", str(suite), "--junit", str(report)]
    failed = CliRunner().invoke(edged, words)
    assert failed.exit_code == 1
    assert "rig my.yaml" in failed.output
    assert "failure: assert 1 == 2" in failed.output
    passed = CliRunner().invoke(edged, [*words, "-k", "knows"])
    assert passed.exit_code == 0, passed.output
    assert report.is_file()


RIGS = {
    "targets:\n  main: [\n": "is no rig: Error in configuration file",
    "targets: {}\n": "has no target `main`",
    """targets:
  main:
    resources: {RawSerialPort: {port: /dev/no-such-board, speed: 115200}}
    drivers: {SerialBoardDriver: {}, BoardStrategy: {}}
imports: [edged_backends.mcu.rig.drivers]
""": "does not serve: /dev/no-such-board cannot be opened",
    """targets:
  main:
    resources: {RawSerialPort: {port: /dev/null, speed: 115200}}
    drivers: {SerialBoardDriver: {flash_command: "sh -c 'echo no probe found; exit 3'"}, BoardStrategy: {}}
imports: [edged_backends.mcu.rig.drivers]
""": "does not serve: flash_command ended with 3 and said: no probe found",
}


@pytest.mark.parametrize(("rig", "reason"), RIGS.items())
def test_a_rig_that_does_not_serve_is_named_with_the_reason(rig: str, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("labgrid", reason="rigs need labgrid: pip install 'edged[hil]'")
    (tmp_path / "my.yaml").write_text(rig)
    report = tmp_path / "report.xml"
    report.write_text("of an earlier run")
    words = ["hil", "run", "--rig", str(tmp_path / "my.yaml"), "--junit", str(report), "-k", "test_identify"]
    done = CliRunner().invoke(edged, [*words, "--suite", str(SUITES / "test_board.py")])
    assert done.exit_code == 1
    assert reason in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert [row[0] for row in outcomes(report.read_text())] == ["test_identify"]


def test_no_test_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("targets: {}\n")
    (tmp_path / "test_none.py").write_text("def test_one(): pass\n")
    words = ["hil", "run", "--rig", str(tmp_path / "my.yaml"), "--suite", str(tmp_path), "-k", "other"]
    done = CliRunner().invoke(edged, words)
    assert done.exit_code != 0
    assert "no board test ran" in str(done.exception)


def test_without_labgrid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hil_commands, "NEEDED", ("labgrid_that_is_not_here",))
    (tmp_path / "my.yaml").write_text("targets: {}\n")
    done = CliRunner().invoke(edged, ["hil", "run", "--rig", str(tmp_path / "my.yaml")])
    assert "rigs need labgrid_that_is_not_here (pip install 'edged[hil]')" in str(done.exception)


def test_no_suite(tmp_path: Path) -> None:
    rig = tmp_path / "my.yaml"
    rig.write_text("targets: {}\n")
    done = CliRunner().invoke(edged, ["hil", "run", "--rig", str(rig), "--suite", str(tmp_path / "none")])
    assert done.exit_code != 0
    assert "no board tests" in str(done.exception)
