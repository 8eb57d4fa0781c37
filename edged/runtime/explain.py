"""A loaded model's plan as plain values: subgraphs, devices, times, and every node's reason."""

from __future__ import annotations

from typing import Any

from edged.runtime.loaded import Loaded, Step


def explain(loaded: Loaded) -> dict[str, Any]:
    """What `edged plan` shows, ready for JSON."""
    return {
        "model": loaded.name,
        "version": loaded.version,
        "source": loaded.label,
        "estimated_us": loaded.partition.microseconds,
        "crossing_us": loaded.partition.crossing_us,
        "resident_bytes": loaded.resident_bytes,
        "stateful": loaded.stateful,
        "batches": sorted(loaded.batched),
        "subgraphs": [_subgraph(loaded, step) for step in loaded.steps],
    }


def _subgraph(loaded: Loaded, step: Step) -> dict[str, Any]:
    part, left = step.part, step.delegate.fallbacks()
    nodes = [
        {
            "where": node.where,
            "op": node.kind,
            "us": part.times[node],
            "reason": loaded.partition.reason[node],
            "fallback": left.get(node.where, ""),
        }
        for node in part.graph.nodes
    ]
    return {
        "device": part.device,
        "estimated_us": part.microseconds,
        "measured_us": step.measured_us,
        "runs": step.runs,
        "bytes_in": part.bytes_in,
        "bytes_out": part.bytes_out,
        "nodes": nodes,
        "steps": list(step.delegate.explain()),
    }
