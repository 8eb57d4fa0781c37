"""A signed model repository for tests, made with tuf's metadata classes and keys of the moment: everything in
it can be bent. The publisher has its own tests; devices are tested against this one as well.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from edged.models import delta
from edged.models.manifest import (
    Blob,
    Delta,
    Golden,
    Manifest,
    Rollout,
    RolloutRule,
    TensorSpec,
    encode,
    manifest_path,
    rollout_path,
)

CHUNK = 4096
SPEC = (TensorSpec(name="x", dtype="int8", shape=(1, 8)),)
ROLES = ("root", "targets", "snapshot", "timestamp", "models", "rollout")


def describe(data: bytes, chunk: int = CHUNK) -> Blob:
    """The blob that `data` is."""
    pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    return Blob(
        sha256=hashlib.sha256(data).hexdigest(), length=len(data), chunk_bytes=chunk,
        chunks=tuple(hashlib.sha256(p).hexdigest() for p in pieces),
    )  # fmt: skip


@dataclass
class Repository:
    """A repository in `root`. Call `release` to add versions and `publish` to sign what has changed."""

    root: Path
    days: float = 30.0
    signers: dict[str, list[CryptoSigner]] = field(default_factory=dict)
    metadata: dict[str, Metadata] = field(default_factory=dict)
    rules: dict[str, RolloutRule] = field(default_factory=dict)
    channel: str = "stable"

    def __post_init__(self) -> None:
        counts = {"root": 2, "models": 2}
        self.signers = {r: [CryptoSigner.generate_ed25519() for _ in range(counts.get(r, 1))] for r in ROLES}
        root = Root(expires=self.expiry(), consistent_snapshot=True)
        for role in ("root", "targets", "snapshot", "timestamp"):
            for signer in self.signers[role]:
                root.add_key(signer.public_key, role)
            root.roles[role].threshold = len(self.signers[role])
        self.metadata["root"] = Metadata(root)
        delegated = {
            "models": DelegatedRole("models", [], 2, True, paths=["models/*/*"]),
            "rollout": DelegatedRole("rollout", [], 1, True, paths=["rollout/*"]),
        }
        targets = Targets(expires=self.expiry(), delegations=Delegations({}, delegated))
        for role in delegated:
            for signer in self.signers[role]:
                targets.add_key(signer.public_key, role)
        self.metadata["targets"] = Metadata(targets)
        for role in delegated:
            self.metadata[role] = Metadata(Targets(expires=self.expiry()))
        self.metadata["snapshot"] = Metadata(Snapshot(expires=self.expiry()))
        self.metadata["timestamp"] = Metadata(Timestamp(expires=self.expiry()))
        for role in ROLES:
            self.metadata[role].signed.version = 0
        for folder in ("metadata", "targets/models", "targets/rollout", "blobs"):
            (self.root / folder).mkdir(parents=True)
        self.publish(*ROLES)

    def expiry(self) -> datetime:
        return (datetime.now(UTC) + timedelta(days=self.days)).replace(microsecond=0)

    @property
    def bootstrap(self) -> bytes:
        """The first root, which devices come with."""
        return (self.root / "metadata" / "1.root.json").read_bytes()

    def sign(self, role: str) -> bytes:
        """The next version of a role's metadata, signed by all of its keys."""
        metadata = self.metadata[role]
        metadata.signed.version += 1
        metadata.signed.expires = self.expiry()
        metadata.signatures.clear()
        for signer in self.signers[role]:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def rotate(self, role: str) -> None:
        """New keys for a role; for root itself, signed by the old ones and the new ones."""
        root = self.metadata["root"]
        old = self.signers[role]
        self.signers[role] = [CryptoSigner.generate_ed25519() for _ in old]
        for signer in old:
            root.signed.revoke_key(signer.public_key.keyid, role)
        for signer in self.signers[role]:
            root.signed.add_key(signer.public_key, role)
        data = self.sign("root")
        if role == "root":
            for signer in old:
                root.sign(signer, append=True)
            data = root.to_bytes()
        (self.root / "metadata" / f"{root.signed.version}.root.json").write_bytes(data)

    def delta(self, base: bytes, new: bytes, algorithm: str = "tensor-diff-zstd") -> Delta:
        """A patch among the blobs."""
        old, fresh, patch = (self.root / f"delta.{name}" for name in ("base", "new", "patch"))
        old.write_bytes(base)
        fresh.write_bytes(new)
        with patch.open("wb") as out:
            delta.make(algorithm, old, fresh, out)
        data = patch.read_bytes()
        return Delta(base=hashlib.sha256(base).hexdigest(), algorithm=algorithm, blob=self.blob(data))  # type: ignore[arg-type]

    def publish(self, *roles: str) -> None:
        """Signs the roles named, and snapshot and timestamp, in order."""
        folder = self.root / "metadata"
        for role in ("root", "targets", "models", "rollout"):
            if role in roles:
                data = self.sign(role)
                (folder / f"{self.metadata[role].signed.version}.{role}.json").write_bytes(data)
        snapshot = self.metadata["snapshot"]
        for role in ("targets", "models", "rollout"):
            snapshot.signed.meta[f"{role}.json"] = MetaFile(self.metadata[role].signed.version)
        data = self.sign("snapshot")
        (folder / f"{snapshot.signed.version}.snapshot.json").write_bytes(data)
        self.metadata["timestamp"].signed.snapshot_meta = MetaFile(snapshot.signed.version)
        (folder / "timestamp.json").write_bytes(self.sign("timestamp"))

    def target(self, role: str, path: str, data: bytes) -> None:
        """A document under its consistent name, listed by `role`."""
        found = TargetFile.from_data(path, data, ["sha256"])
        place = self.root / "targets" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.with_name(f"{found.hashes['sha256']}.{place.name}").write_bytes(data)
        self.metadata[role].signed.targets[path] = found

    def blob(self, data: bytes, chunk: int = CHUNK) -> Blob:
        """Bytes among the blobs."""
        made = describe(data, chunk)
        (self.root / "blobs" / made.sha256).write_bytes(data)
        return made

    def manifest(
        self, model: str, version: int, data: bytes, *, golden: bytes = b"golden", cases: int = 1, floor: int = 0,
        tolerance: float = 0.0, latency_us: int = 0, deltas: tuple[Delta, ...] = (), min_edged: str = "",
        inputs: tuple[TensorSpec, ...] = SPEC, outputs: tuple[TensorSpec, ...] = SPEC, chunk: int = CHUNK,
    ) -> Manifest:  # fmt: skip
        """A version's manifest, its blobs in place."""
        expected = Golden(
            blob=self.blob(golden, chunk), cases=cases, tolerance=tolerance, latency_us=latency_us
        )
        return Manifest(
            model=model, version=version, floor=floor, file=self.blob(data, chunk), inputs=inputs,
            outputs=outputs, golden=expected, deltas=deltas, min_edged=min_edged,
        )  # fmt: skip

    def add(self, manifest: Manifest) -> None:
        """Lists a version without rolling it out."""
        self.target("models", manifest_path(manifest.model, manifest.version), encode(manifest))

    def roll(self, model: str, rule: RolloutRule) -> None:
        """A model's rule in the channel."""
        self.rules[model] = rule
        self.target(
            "rollout", rollout_path(self.channel), encode(Rollout(channel=self.channel, models=self.rules))
        )

    def release(self, model: str, version: int, data: bytes, **rest: object) -> Manifest:
        """A version for everybody, published."""
        manifest = self.manifest(model, version, data, **rest)  # type: ignore[arg-type]
        self.add(manifest)
        self.roll(model, RolloutRule(version=version))
        self.publish("models", "rollout")
        return manifest
