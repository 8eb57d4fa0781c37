"""A plan for people."""

from __future__ import annotations

from typing import Any

from edged.cli.tables import table


def render(facts: dict[str, Any]) -> str:
    """The facts of `explain` for people."""
    lines = [
        f"{facts['model']}: {len(facts['subgraphs'])} subgraphs, {facts['estimated_us']:.1f} us estimated, "
        f"of which {facts['crossing_us']:.1f} us moving tensors; {facts['resident_bytes']} bytes resident"
    ]
    for index, part in enumerate(facts["subgraphs"]):
        measured = f"{part['measured_us']:.1f} us measured" if part["measured_us"] else "not measured yet"
        lines += [
            "",
            f"subgraph {index} on {part['device']}: {len(part['nodes'])} nodes, "
            f"{part['estimated_us']:.1f} us estimated, {measured}, "
            f"{part['bytes_in']} bytes in, {part['bytes_out']} out",
            table(
                ("node", "op", "us", "why here"),
                [
                    (
                        n["where"],
                        n["op"],
                        n["us"],
                        f"FALLBACK: {n['fallback']}" if n["fallback"] else n["reason"],
                    )
                    for n in part["nodes"]
                ],
            ),
            *(f"  {line}" for line in part["steps"]),
        ]
    lines += [
        f"backend {n} is not open, and was not asked: {r}" for n, r in facts.get("unopened", {}).items()
    ]
    return "\n".join(lines)
