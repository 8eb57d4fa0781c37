"""A publisher, a repository, and a device that runs digits 1 from it: what every attack begins with."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

import numpy as np
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata

from edged.demo import FOLDER
from edged.feed import Feed
from edged.graph.evaluate import Evaluation
from edged.models.blobs import Blobs
from edged.models.feeds import FolderFeed
from edged.models.fetch import Pace
from edged.models.kept import kept_source, read_blob
from edged.models.store import Store
from edged.models.updater import Poll, Settings
from edged.publish import edition, release, rollout
from edged.publish.edition import Signing
from edged.publish.workspace import Workspace, found
from support.publisher import moved


class Device:
    """A device's store, polled by hand; what it stages it activates when told to."""

    def __init__(self, root: Path, public: Path, bootstrap: bytes, quota: int = 1 << 30) -> None:
        self.root, self.bootstrap = root, bootstrap
        self.store, self.blobs = Store(root), Blobs(root, quota)
        self.feed: Feed = FolderFeed(public)
        self.clock: Callable[[], float] = time
        self.pace = Pace(monotonic, lambda _seconds: None)
        self.events: list[dict[str, object]] = []
        self.moved = 0

    def poll(self) -> list[int]:
        """Versions that were staged. Raises what a poll raises."""
        self.events.clear()
        settings = Settings("stable", "gateway-1", self.bootstrap)
        with self.store.lock():
            poll = Poll(
                self.store, self.blobs, self.feed, settings, now=self.clock, pace=self.pace,
                report=lambda event: self.events.append(dict(event)),
            )  # fmt: skip
            try:
                return [m.version for m in poll.run()]
            finally:
                self.moved = poll.bytes

    def activate(self) -> None:
        """What the daemon does with candidates that do well."""
        for record in self.store.candidates():
            assert self.store.begin_trial(record, time())
            self.store.succeed(self.store.record(record.model, record.version), time(), 0.0)
            self.store.settle(self.store.record(record.model, record.version), time())

    def serves(self) -> int:
        """The version that serves; its bytes are read as the daemon reads them and must answer its golden
        cases."""
        record = self.store.active("digits")
        assert record is not None, "no version serves"
        manifest = record.manifest
        evaluation = Evaluation(kept_source(self.blobs, manifest, []).read())
        golden = bytes(read_blob(self.blobs, manifest.golden.blob))
        case = np.frombuffer(golden[:74], np.int8)
        (answer,) = evaluation.run([case[:64].reshape(1, 8, 8, 1)]).values()
        assert (answer.reshape(-1) == case[64:]).all(), "the model that serves answers something else"
        return record.version

    def reasons(self) -> str:
        """Why models were not updated."""
        return "; ".join(str(e["reason"]) for e in self.events if "reason" in e)


@dataclass
class Scene:
    """`old`: the public folder as of digits 1. `attack` functions change `public` or the device."""

    workspace: Workspace
    folder: Path
    device: Device
    old: Path
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def public(self) -> Path:
        return self.workspace.public

    def release(self, version: int = 2, model: Path | None = None, **wanted: Any) -> None:
        """An honest next version for everybody."""
        path = model or moved(FOLDER / "digits_int8.tflite", self.folder / f"{version}.tflite")
        release.add(self.workspace, path, "digits", version, release.Wanted(**wanted))
        release.release(self.workspace)
        self.roll(version)

    def roll(self, version: int, **change: Any) -> None:
        """The channel's rule."""
        rollout.change(self.workspace, "stable", "digits", rollout.Change(version, **change))

    def signers(self, role: str) -> list[Signer]:
        """A role's honest signers, for those whose keys were stolen."""
        ring = self.workspace.keyring
        return [ring.signer(entry) for entry in ring.of(role)]

    def forge(
        self, role: str, change: Callable[[Any], object], signers: Sequence[Signer], **options: Any
    ) -> None:
        """Publishes a changed role with these signatures; everything else is signed with honest online keys,
        which the attacker is taken to have."""
        now = self.workspace.edition()
        change(now.of(role).signed)
        signing = _Forged(self.workspace.keyring, self.workspace.signing.now)
        signing.forged = {role: signers}
        edition.publish(self.public, now, {role}, signing, **options)

    def restore(self, saved: Path | None = None) -> None:
        """Puts a saved repository back in place, that of digits 1 by default: what an attacker who replays
        serves."""
        shutil.rmtree(self.public)
        shutil.copytree(saved or self.old, self.public)

    def blob(self, version: int) -> Path:
        """The file of a released version."""
        manifests = release.released(self.workspace, self.workspace.edition(), "digits")
        digest = next(m.file.sha256 for m in manifests if m.version == version)
        return self.public / "blobs" / digest


@dataclass(slots=False)
class _Forged(Signing):
    """Signs some roles with other keys than their own."""

    forged: dict[str, Sequence[Signer]] = field(default_factory=dict)

    def sign(self, role: str, metadata: Metadata[Any]) -> None:
        if role not in self.forged:
            return super().sign(role, metadata)
        metadata.signatures.clear()
        for signer in self.forged[role]:
            metadata.sign(signer, append=True)
        return None


def stranger() -> Signer:
    """A key that nobody delegated anything to."""
    return CryptoSigner.generate_ed25519()


def begin(workspace: Workspace, folder: Path) -> Scene:
    """A founded workspace with digits 1, and a device on which it serves."""
    found(workspace)
    release.add(workspace, FOLDER / "digits_int8.tflite", "digits", 1)
    release.release(workspace)
    rollout.change(workspace, "stable", "digits", rollout.Change(version=1))
    old = Path(shutil.copytree(workspace.public, folder / "old"))
    bootstrap = (old / "metadata" / "1.root.json").read_bytes()
    device = Device(folder / "device", workspace.public, bootstrap)
    assert device.poll() == [1]
    device.activate()
    return Scene(workspace, folder, device, old)
