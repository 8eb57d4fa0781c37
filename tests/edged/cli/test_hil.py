"""`edged hil run`: outcomes and figures out of a report, and a suite run on a rig."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from edged.cli import edged
from edged.cli.hil import outcomes

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


def test_no_suite(tmp_path: Path) -> None:
    rig = tmp_path / "my.yaml"
    rig.write_text("targets: {}\n")
    done = CliRunner().invoke(edged, ["hil", "run", "--rig", str(rig), "--suite", str(tmp_path / "none")])
    assert done.exit_code != 0
    assert "no board tests" in str(done.exception)
