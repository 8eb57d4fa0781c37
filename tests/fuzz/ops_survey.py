"""Random models of every operator against LiteRT, as a table: op, models, what LiteRT refused, findings.

    python tests/fuzz/ops_survey.py [--count N] [--seed FIRST] [--show N] [OP ...]

A finding's seed and op make its model again: `--seed S --count 1 OP`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from edged_backends.cpu import CpuBackend  # noqa: E402
from fuzz.ops_draft import Case, Draft, Maker  # noqa: E402
from fuzz.ops_judge import Oracle, Verdict, judge  # noqa: E402
from fuzz.ops_makers import MAKERS  # noqa: E402


def make(op: str, seed: int) -> Case:
    """The case of a seed, the same on every machine."""
    draft = Draft(np.random.default_rng((zlib.crc32(op.encode()), seed)))
    MAKERS[op](draft)
    return draft.case()


def survey(op: str, seeds: range, oracle: Oracle, backend: CpuBackend, also: Sequence[str] = ()) -> tuple[Counter[str], list[tuple[int, Verdict]]]:
    """How often each word came out, and the findings (and words of `also`) with their seeds."""
    words: Counter[str] = Counter()
    findings = []
    for seed in seeds:
        verdict = judge(oracle, backend, make(op, seed))
        words[verdict.word] += 1
        if not verdict.fine or verdict.word in also:
            findings.append((seed, verdict))
    return words, findings


def _family(name: str | None) -> list[str]:
    found: dict[str, Maker] = importlib.import_module(f"fuzz.ops_{name}").MAKERS if name else MAKERS
    return list(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=3, help="findings to print of each op")
    parser.add_argument("--also", action="append", default=[], help="print these too: refused died micro")
    parser.add_argument("--family", help="only the makers of ops_FAMILY.py")
    parser.add_argument("ops", nargs="*")
    asked = parser.parse_args()
    oracle, backend = Oracle(), CpuBackend(threads=1)
    total = 0
    for op in asked.ops or _family(asked.family):
        words, findings = survey(op, range(asked.seed, asked.seed + asked.count), oracle, backend, asked.also)
        total += len(findings)
        print(f"{op:32} " + " ".join(f"{w}:{n}" for w, n in words.most_common()), flush=True)
        for seed, verdict in findings[: asked.show]:
            print(f"    {verdict.word} {verdict.where} seed {seed}: {make(op, seed)}\n      {verdict.note}", flush=True)
    oracle.close()
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
