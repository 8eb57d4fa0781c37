"""Versions: `add` checks a file and drafts its manifest, `release` signs the drafts. Nobody sees a draft.

Blobs are written when a version is added, because they are content-addressed and mean nothing until a
manifest names them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tuf.api.metadata import TargetFile

from edged import __version__, source
from edged.graph.arrays import Array
from edged.graph.lifetimes import graph_arena
from edged.graph.passes import optimise
from edged.models.delta import MEMORY_LIMIT
from edged.models.manifest import Golden, Manifest, check_name, decode_manifest, encode, manifest_path
from edged.publish import blobs, edition, files, golden, sealing
from edged.publish.edition import Edition
from edged.publish.errors import PublishError
from edged.publish.roles import LISTED, MODELS, ROLES
from edged.publish.workspace import Workspace

DELTAS = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the publisher asks of a version, beside its file. `key`: (name, 32 bytes) to seal the file with;
    `deltas`: against how many of the latest released versions."""

    floor: int = 0
    notes: str = ""
    backends: tuple[str, ...] = ()
    min_edged: str = __version__
    latency_us: int = 0
    tolerance: float | None = None
    cases: int = golden.CASES
    seed: int = 0
    inputs: Mapping[str, Array] | None = None
    outputs: Mapping[str, Array] | None = None
    deltas: int = DELTAS
    memory_limit: int = MEMORY_LIMIT
    key: tuple[str, bytes] | None = field(default=None, repr=False)


def add(workspace: Workspace, path: Path, model: str, version: int, wanted: Wanted | None = None) -> Manifest:
    """Drafts a version of `model` from a .tflite file: verified and planned as on a device, golden cases
    recorded, blobs and deltas in place. ModelError for a file that no device would take, PublishError for a
    version that is no step forward."""
    asked = wanted or Wanted()
    check_name(model)
    before = released(workspace, workspace.edition(), model)
    if before and version <= before[-1].version:
        raise PublishError(
            f"{model} {before[-1].version} is released; {version} is no step forward",
            remedy=f"take {before[-1].version + 1}; to go back, roll out an older version",
        )
    graph = source.read_model(path)
    graph_arena(optimise(graph).main)  # what a device does before it runs anything
    recorded = golden.record(
        graph, cases=asked.cases, seed=asked.seed, inputs=asked.inputs, outputs=asked.outputs,
        tolerance=asked.tolerance,
    )  # fmt: skip
    public = workspace.public
    if asked.key is None:
        file = blobs.put(public, path)
        bases = [m for m in before[-asked.deltas :] if not m.encrypted] if asked.deltas else []
    else:  # sealed files share no bytes with each other: a delta would be as long as the file
        file, bases = sealing.put(public, path, *asked.key), []
    manifest = Manifest(
        model=model, version=version, floor=asked.floor, file=file,
        encrypted=asked.key[0] if asked.key else "", inputs=recorded.inputs, outputs=recorded.outputs,
        deltas=blobs.deltas(public, bases, file, asked.memory_limit),
        golden=Golden(
            blob=blobs.put_bytes(public, recorded.data), cases=recorded.cases,
            tolerance=recorded.tolerance, latency_us=asked.latency_us,
        ),
        min_edged=asked.min_edged, backends=asked.backends, notes=asked.notes,
    )  # fmt: skip
    files.write(workspace.drafts / model / f"{version}.json", encode(manifest))
    return manifest


def drafts(workspace: Workspace) -> list[Manifest]:
    """The versions that were added and are not released."""
    found = sorted(workspace.drafts.glob("*/*.json"), key=lambda p: (p.parent.name, int(p.stem)))
    return [decode_manifest(p.read_bytes(), p.parent.name, int(p.stem)) for p in found]


def release(workspace: Workspace, *, renew: Iterable[str] = ()) -> list[Manifest]:
    """Signs all drafts and makes them public, with a new snapshot and timestamp; also without drafts, to
    keep the online roles fresh. `renew`: roles among targets, models and rollout whose expiry starts anew;
    for an online one it does so by itself when half of its time is over."""
    current, pending = workspace.edition(), drafts(workspace)
    listed = current.models.signed.targets
    bodies: dict[Path, bytes] = {}
    for manifest in pending:
        name = manifest_path(manifest.model, manifest.version)
        if name in listed and target_bytes(workspace, listed[name]) != encode(manifest):
            raise PublishError(
                f"{name} is released already", remedy="a version is never changed: add the next"
            )  # equal bytes: a release that was stopped before it cleared its drafts
        bodies |= target(listed, name, encode(manifest))
    changed = {role for role in renew if role in LISTED} | ({MODELS} if pending else set())
    changed |= {role for role in LISTED if not ROLES[role].offline and _half_over(workspace, current, role)}
    edition.publish(workspace.public, current, changed, workspace.signing, targets=bodies)
    for manifest in pending:
        (workspace.drafts / manifest.model / f"{manifest.version}.json").unlink()
    return pending


def _half_over(workspace: Workspace, current: Edition, role: str) -> bool:
    left = current.of(role).signed.expires - workspace.signing.now()
    return bool(left < timedelta(days=ROLES[role].days / 2))


def target(listed: dict[str, TargetFile], name: str, data: bytes) -> dict[Path, bytes]:
    """Lists a target file in metadata; gives where it goes in the public folder (its digest in its name, as
    consistent snapshots ask)."""
    listed[name] = TargetFile.from_data(name, data, ["sha256"])
    return {target_path(listed[name]): data}


def target_path(listed: TargetFile) -> Path:
    """Where a listed target lies in the public folder."""
    folder, _, file = listed.path.rpartition("/")
    return Path("targets") / folder / f"{listed.hashes['sha256']}.{file}"


def target_bytes(workspace: Workspace, listed: TargetFile) -> bytes:
    """A target file of the workspace, its digest checked."""
    place = workspace.public / target_path(listed)
    data = place.read_bytes()
    if hashlib.sha256(data).hexdigest() != listed.hashes["sha256"]:
        raise PublishError(f"{place} was changed", remedy="copy it back from the host that serves it")
    return data


def released(workspace: Workspace, current: Edition, model: str | None = None) -> Sequence[Manifest]:
    """The manifests that are public, of one model or of all, the oldest first."""
    found = []
    for name, listed in current.models.signed.targets.items():
        _, owner, file = name.split("/")
        if model in (None, owner):
            version = int(file.removesuffix(".json"))
            found.append(decode_manifest(target_bytes(workspace, listed), owner, version))
    return sorted(found, key=lambda m: (m.model, m.version))
