"""The file that keeps what `edged tune` measured: nanoseconds of every way to compute a layer, on this CPU.

One JSON file per CPU in the cache folder: {"version": 1, "cpu": ..., "records": {layer key: {option:
nanoseconds}}}. A layer key holds all that the time depends on (op, shapes, strides, threads), so equal
layers of any model share a record. The options that lost are kept too: they are what a learned selector
would be trained on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from edged_backends.catalogue import Catalogue, arch_names

VERSION = 1
Records = dict[str, dict[str, float]]


def cpu_name(kernels: Catalogue) -> str:
    """This CPU and the instruction sets in use, as a file name can hold them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|CPU part|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    cpu = found.group(1) if found else os.uname().machine
    name = f"{cpu} {'+'.join(arch_names(kernels.present)) or 'scalar'}"
    return re.sub(r"[^A-Za-z0-9.+]+", "-", name).strip("-").lower()


def cache_file(cache_dir: str, kernels: Catalogue) -> Path:
    return Path(cache_dir) / f"tune-{cpu_name(kernels)}.json"


def load(cache_dir: str, kernels: Catalogue) -> Records:
    """What was measured on this CPU; nothing when there is no file, or one of another version, or a
    damaged one."""
    if not cache_dir:
        return {}
    try:
        stored = json.loads(cache_file(cache_dir, kernels).read_text(encoding="utf-8"))
        if stored["version"] != VERSION:
            return {}
        return {str(k): {str(o): float(ns) for o, ns in v.items()} for k, v in stored["records"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save(cache_dir: str, kernels: Catalogue, records: Mapping[str, Mapping[str, float]]) -> Path:
    """Writes the file, whole or not at all."""
    path = cache_file(cache_dir, kernels)
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    text = json.dumps(
        {"version": VERSION, "cpu": cpu_name(kernels), "records": records}, indent=1, sort_keys=True
    )
    staged.write_text(text, encoding="utf-8")
    os.replace(staged, path)
    return path
