"""What `edged publish` says to people: tables, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edged.cli.tables import amount, table
from edged.models.manifest import Manifest, RolloutRule
from edged.publish import status as facts_of
from edged.publish.roles import ROLES
from edged.publish.rotation import Rotated
from edged.publish.workspace import Workspace


def founded(workspace: Workspace) -> str:
    """After init."""
    folder = workspace.folder
    return "\n".join(
        (
            _roles(workspace),
            "",
            f"Keys are in {folder / 'keys'}, sealed with your passphrase. Now:",
            "  1. Give every root and models key to another person, and take them off this machine.",
            f"  2. Ship {folder / 'public/metadata/1.root.json'} with your gateways ([updates] root = ...).",
            "  3. edged publish add MODEL.tflite --name NAME --version 1, then release, then rollout NAME 1.",
            "  4. Copy public/ to any static host: blobs and targets, metadata, timestamp.json last.",
        )
    )


def added(manifest: Manifest) -> str:
    """After add."""
    golden = manifest.golden
    exact = "equal bytes" if not golden.tolerance else f"within {golden.tolerance:.3g}"
    limit = f", median at most {golden.latency_us / 1000:g} ms" if golden.latency_us else ""
    rows = [
        (d.algorithm, d.base[:12], d.blob.length, f"{d.blob.length / manifest.file.length:.1%}")
        for d in manifest.deltas
    ]
    sealed = f", sealed with {manifest.encrypted}" if manifest.encrypted else ""
    lines = [
        f"{manifest.model} {manifest.version}: {amount(manifest.file.length, 'B')}{sealed}, "
        f"{golden.cases} golden cases ({exact}{limit})",
        table(("delta", "from", "bytes", "of the file"), rows) if rows else "no delta: none is worth it",
        "Next: edged publish release (needs the keys of models, snapshot and timestamp)",
    ]
    return "\n".join(lines)


def released(done: Sequence[Manifest], workspace: Workspace) -> str:
    """After release."""
    what = ", ".join(f"{m.model} {m.version}" for m in done) or "nothing new; the timestamp is fresh"
    after = "Next: edged publish rollout MODEL VERSION, and copy public/ to the host" if done else ""
    return "\n".join(line for line in (f"released: {what}", _roles(workspace), after) if line)


def rolled_out(channel: str, model: str, rule: RolloutRule) -> str:
    """After rollout."""
    state = "paused at" if rule.paused else "goes to"
    named = f" and {len(rule.devices)} named gateways" if rule.devices else ""
    return (
        f"{model} {rule.version} {state} {rule.percent:g} % of channel {channel}{named}, floor {rule.floor}\n"
        "Next: copy public/ to the host; gateways follow at their next poll"
    )


def rotated(done: Rotated) -> str:
    """After rotate-keys."""
    return (
        f"{done.role}: {', '.join(e.name for e in done.old)} -> {', '.join(e.name for e in done.new)}\n"
        "Next: copy public/ to the host, give the new keys to their owners, destroy the old ones"
    )


def bundled(place: Path, size: int, days: int) -> str:
    """After bundle."""
    return (
        f"{place}: {amount(size, 'B')}, to be installed within {days} days: edged update --from {place.name}"
    )


def status(workspace: Workspace) -> str:
    """Four tables."""
    facts = facts_of.facts(workspace)
    released = {(v["model"], v["version"]): "released" for v in facts["versions"]}
    versions = [
        (
            v["model"], v["version"], released.get((v["model"], v["version"]), "draft"), amount(v["bytes"],
            "B"), v["encrypted"] or "-", len(v["deltas"]), v["floor"],
        )
        for v in facts["versions"] + facts["drafts"]
    ]  # fmt: skip
    rules = [
        (
            r["channel"], r["model"], r["version"], f"{r['percent']:g} %", len(r["devices"]),
            "paused" if r["paused"] else "on", r["floor"],
        )
        for r in facts["rollouts"]
    ]  # fmt: skip
    parts = [_roles(workspace)]
    if versions:
        parts.append(table(("model", "version", "state", "size", "sealed", "deltas", "floor"), versions))
    if rules:
        parts.append(table(("channel", "model", "version", "share", "named", "state", "floor"), rules))
    return "\n\n".join(parts)


def _roles(workspace: Workspace) -> str:
    now = workspace.edition()
    facts = [facts_of.role_facts(workspace, now, role) for role in ROLES]
    rows = [
        (
            f["role"], f["version"], f"{f['threshold']} of {len(f['keys'])}", ", ".join(f["keys"]),
            ", ".join(f["away"]) or "-", f["expires"][:16].replace("T", " "), "due" if f["due"] else "",
        )
        for f in facts
    ]  # fmt: skip
    return table(("role", "version", "needs", "keys", "not at hand", "expires (UTC)", ""), rows)


def serving(url: str, folder: Path) -> str:
    """Before serve."""
    root = folder / "public" / "metadata" / "1.root.json"
    return f'{url} serves {folder / "public"}; gateways: [updates] url = "{url}", root = "{root}"'
