"""One poll: signed metadata, the rollout's choice, the bytes, and then candidates in the store. It loads no
model.

Whatever ends it, the store is as good as before: metadata is held against durable floors before anything
follows from it, bytes are durable before a row names them, and the row is one transaction. What a poll could
not finish the next one continues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edged import __version__
from edged.errors import EdgedError
from edged.feed import Feed, FeedError
from edged.models.blobs import Blobs
from edged.models.durable import disk
from edged.models.errors import NetworkError, TrustError
from edged.models.fetch import Pace, fetch
from edged.models.manifest import (
    Blob,
    Delta,
    Manifest,
    Rollout,
    RolloutRule,
    decode_manifest,
    decode_rollout,
    manifest_path,
    rollout_path,
)
from edged.models.metadata import Metadata
from edged.models.points import reach
from edged.models.rollout import Choice, choose, wanted_models
from edged.models.states import State
from edged.models.store import Store
from edged.models.trust import advance

CLOCK_STEP = 3600.0
DELTA_MEMORY = 24 << 20
"""What applying a delta may hold: with the interpreter and tuf it stays within 64 MiB."""

Report = Callable[[Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a poll needs to know of [updates]. `models` empty: all of the channel. `bootstrap`: root
    metadata. `keys`: folders with the keys of sealed models."""

    channel: str
    device: str
    bootstrap: bytes
    models: frozenset[str] = frozenset()
    pins: Mapping[str, int] = field(default_factory=dict)
    keys: Sequence[Path] = ()


class Poll:
    """One poll of one feed. `report` gets progress as plain facts; `now` is the time of day, `pace` has the
    clock."""

    def __init__(
        self, store: Store, blobs: Blobs, feed: Feed, settings: Settings, *,
        now: Callable[[], float], pace: Pace, report: Report,
    ) -> None:  # fmt: skip
        self.store, self.blobs, self.feed, self.settings = store, blobs, feed, settings
        self.now, self.pace, self.report = now, pace, report
        self.metadata = Metadata(store.root / "tuf", settings.bootstrap, feed, pace.monotonic)
        self.floors = store.floors()
        self._wanted: set[str] = set()
        self._paths: set[str] = set()
        self.bytes = 0

    def run(self) -> list[Manifest]:
        """Stages what this device should run; the manifests of new candidates. One model's failure is
        reported and does not hold up the others. EdgedError when the repository as a whole could not be
        used."""
        staged = []
        self.metadata.refresh()
        self._accept({})
        rollout = self._rollout()
        for model, rule in sorted(wanted_models(rollout, self.settings.models).items()):
            try:
                manifest = self._model(model, rule)
            except EdgedError as error:
                reason = str(error)
                self.report({"event": "failed", "model": model, "version": rule.version, "reason": reason})
                continue
            if manifest is not None:
                staged.append(manifest)
        self.metadata.forget(self._paths)
        self.blobs.collect(self.store.kept() | self._wanted)
        self.store.prune()
        return staged

    def _rollout(self) -> Rollout:
        """The channel's rollout; its floors are durable from here on."""
        path = rollout_path(self.settings.channel)
        self._paths.add(path)
        rollout = decode_rollout(self.metadata.document(path), self.settings.channel)
        raised = {
            name: rule.floor
            for name, rule in rollout.models.items()
            if rule.floor > self.store.model_floor(name)
        }
        self._accept(raised)
        return rollout

    def _accept(self, models: dict[str, int]) -> None:
        """Holds what tuf has accepted against the floors, and makes the new ones durable when they have
        moved."""
        floors = advance(self.floors, self.metadata.seen(), self.now())
        moved = floors.versions != self.floors.versions or floors.clock - self.floors.clock >= CLOCK_STEP
        if moved or models:
            self.metadata.sync()
            reach("floors.synced")
            self.store.raise_floors(floors, models)
            self.floors = floors

    def _model(self, model: str, rule: RolloutRule) -> Manifest | None:
        """Brings what the rule asks for; None when there is nothing to do."""
        self._mend(model)
        choice = self._choice(model, rule)
        if choice.version is None:
            self.report({"event": "stays", "model": model, "reason": choice.reason})
            return None
        record = next((r for r in self.store.records(model) if r.version == choice.version), None)
        if record is not None and record.state in (State.STAGED, State.TRIAL):
            self.report({"event": "waits", "model": model, "version": record.version})
            self._want(record.manifest)
            return None
        manifest = self._manifest(model, choice.version)
        self._bring(manifest)
        reach("staging")
        self.store.stage(manifest, choice.reason, self.now())
        self.report({"event": "staged", "model": model, "version": manifest.version, "bytes": self.bytes})
        return manifest

    def _mend(self, model: str) -> None:
        """Brings the active version's bytes again where they have been lost or damaged, and taken away."""
        record = self.store.active(model)
        if record is not None and not self.blobs.has(record.manifest.file):
            self._bring(record.manifest)
            self.report({"event": "mended", "model": model, "version": record.version})

    def _choice(self, model: str, rule: RolloutRule) -> Choice:
        records = self.store.records(model)
        active = next((r.version for r in records if r.state is State.ACTIVE), None)
        pins = {**self.settings.pins, **self.store.pins()}
        return choose(
            rule, model, self.settings.device, active=active, pin=pins.get(model),
            floor=self.store.model_floor(model),
            barred={r.version for r in records if r.state is State.ROLLED_BACK},
        )  # fmt: skip

    def _manifest(self, model: str, version: int) -> Manifest:
        path = manifest_path(model, version)
        self._paths.add(path)
        manifest = decode_manifest(self.metadata.document(path), model, version)
        self._accept({})  # the delegated role's version, too, before anything follows from it
        if manifest.encrypted:
            from edged.models.cipher import require_key

            require_key(
                manifest.encrypted, self.settings.keys
            )  # wanting here bars nothing: it may still come
        if _numbers(manifest.min_edged) > _numbers(__version__):
            raise TrustError(f"{model} {version} needs edged {manifest.min_edged}, this is {__version__}")
        return manifest

    def _want(self, manifest: Manifest) -> None:
        """Its bytes, finished or not, survive this poll's collection."""
        self._wanted |= {manifest.file.sha256, manifest.golden.blob.sha256}

    def _bring(self, manifest: Manifest) -> None:
        """All bytes of a version, verified and durable."""
        self._want(manifest)
        delta = self._delta(manifest)
        blobs = [manifest.file, manifest.golden.blob] + ([delta.blob] if delta else [])
        if delta is not None:
            self._wanted.add(delta.blob.sha256)
        for blob in blobs:
            self._drop_if_bad(blob)
        need = sum(self._missing(blob) for blob in blobs)
        self.blobs.make_room(need, self.store.kept() | self._wanted)
        self._fetch(manifest, manifest.golden.blob)
        if delta is None or not self._patch(manifest, delta):
            self._fetch(manifest, manifest.file)

    def _drop_if_bad(self, blob: Blob) -> None:
        """A whole blob that is here already is hashed again before it is relied on."""
        if self.blobs.has(blob):
            try:
                self.blobs.check(blob.sha256)
            except EdgedError:
                with disk("deleting a damaged blob"):
                    self.blobs.path(blob.sha256).unlink()

    def _missing(self, blob: Blob) -> int:
        """Bytes that are still to be written."""
        partial = self.blobs.unfinished(blob.sha256)
        have = partial.stat().st_size if partial.exists() else 0
        return 0 if self.blobs.has(blob) else max(0, blob.length - have)

    def _fetch(self, manifest: Manifest, blob: Blob) -> None:
        """One blob, its progress reported. A NetworkError names the version; the disk's errors pass."""
        begun = self.pace.monotonic()
        first: list[int] = []

        def progress(done: int, total: int) -> None:
            first[:] = first or [done]
            seconds = max(self.pace.monotonic() - begun, 1e-6)
            self.report({
                "event": "progress", "model": manifest.model, "version": manifest.version,
                "done": done, "total": total, "rate": (done - first[0]) / seconds,
            })  # fmt: skip

        try:
            self.bytes += fetch(self.feed, blob, self.blobs, self.pace, progress)
        except FeedError as error:
            text = f"{manifest.model} {manifest.version}: {error.message}"
            raise NetworkError(text, remedy=error.remedy) from None

    def _delta(self, manifest: Manifest) -> Delta | None:
        """The smallest delta from a blob that is here, if applying it fits into memory."""
        if self.blobs.has(manifest.file):
            return None
        from edged.models import delta

        fitting = [
            d
            for d in manifest.deltas
            if self.blobs.path(d.base).is_file() and d.blob.length < manifest.file.length
            and d.algorithm
            in delta.choose(
                self.blobs.path(d.base).stat().st_size, manifest.file.length, DELTA_MEMORY
            )
        ]  # fmt: skip
        return min(fitting, key=lambda d: d.blob.length, default=None)

    def _patch(self, manifest: Manifest, chosen: Delta) -> bool:
        """Makes the file from its base; False, and the reason reported, when that does not give what was
        signed. A network error is raised: the whole blob would meet it, too."""
        from edged.models import delta

        self._fetch(manifest, chosen.blob)
        made: Path = self.blobs.unfinished(manifest.file.sha256).with_suffix(".made")
        try:
            base, patch = self.blobs.check(chosen.base), self.blobs.check(chosen.blob.sha256)
            length = manifest.file.length
            with disk(f"applying a delta to {made}"), made.open("wb") as out:
                delta.apply(chosen.algorithm, base, patch, out, DELTA_MEMORY, length=length)
            reach("delta.applied")
            self.blobs.accept(made, manifest.file)
        except EdgedError as error:
            made.unlink(missing_ok=True)
            self.report({
                "event": "delta refused", "model": manifest.model, "version": manifest.version,
                "reason": str(error),
            })  # fmt: skip
            return False
        return True


def _numbers(version: str) -> tuple[int, ...]:
    """`1.2.3` as numbers; what follows them (`rc1`) does not count."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
