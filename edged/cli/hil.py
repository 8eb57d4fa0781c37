"""`edged hil run`: the tests of boards on a rig, and what they measured. Needs a checkout (tests/hil) and
`edged[hil]`."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import click

from edged.cli.tables import table
from edged.errors import ConfigError

SUITE = Path("tests/hil")
NEEDED = ("labgrid", "pytest", "serial")
LONGEST = 160  # letters of a reason


@click.group()
def hil() -> None:
    """Hardware in the loop: boards, real ones or in QEMU."""


@hil.command()
@click.option("--rig", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="A labgrid environment: hil/rigs/*.yaml.")  # fmt: skip
@click.option("--suite", type=click.Path(path_type=Path), default=SUITE, show_default=True)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Keep the report as JUnit XML."
)
@click.option("-k", "only", default="", help="Only tests whose names match (as pytest's -k).")
def run(rig: Path, suite: Path, junit: Path | None, only: str) -> None:
    """Runs the board tests on RIG; a table of outcomes and figures. Exit status 1 if one failed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"rigs need {', '.join(missing)}", remedy="pip install 'edged[hil]'")
    if not suite.exists():
        raise ConfigError(
            f"there are no board tests at {suite}", remedy="run it in a checkout, or give --suite"
        )
    with tempfile.TemporaryDirectory(prefix="edged-hil-") as folder:
        report = junit or Path(folder) / "report.xml"
        report.unlink(missing_ok=True)  # what an earlier run left there is no outcome of this one
        command = ["env", f"EDGED_RIG={rig.resolve()}", sys.executable, "-m", "pytest", "-q", "--tb=short"]
        command += [
            str(suite),
            f"--junitxml={report}",
            "-o",
            "junit_family=xunit1",
            *(["-k", only] if only else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if not report.is_file():
            raise ConfigError(f"the board tests did not run: {done.stdout[-800:]}{done.stderr[-800:]}")
        rows = list(outcomes(report.read_text(encoding="utf-8")))
    if not rows:
        raise ConfigError(f"no board test ran: {done.stdout.strip()[-400:]}")
    click.echo(table(("test", "outcome", "seconds", "figures"), rows))
    if done.returncode:
        click.echo(done.stdout[-4000:], err=True)
        sys.exit(1)


def outcomes(report: str) -> Iterator[tuple[str, str, str, str]]:
    """Rows of a JUnit report: test, outcome with its reason, seconds, properties."""
    for case in ElementTree.fromstring(report).iter("testcase"):
        outcome = "passed"
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                reason = found.get("message", "").removeprefix('failed on setup with "').removesuffix('"')
                reason = reason.removeprefix("Failed: ")
                outcome = f"{kind}: {reason[:LONGEST]}"
        figures = ", ".join(f"{p.get('name')} {p.get('value')}" for p in case.iter("property"))
        yield case.get("name", "?"), outcome, f"{float(case.get('time', 0)):.2f}", figures
