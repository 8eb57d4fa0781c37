"""The signed documents of a model repository, and their bounds. Pure: bytes in, frozen structs out.

A manifest (`models/<name>/<version>.json`) says everything about one version; a rollout
(`rollout/<channel>.json`) which version a device should run. Both are JSON, and both are TUF targets: whoever
gets here has checked the signatures. The bounds still hold: a signature makes no document small or sane.
Layout of a repository: `metadata/` (tuf), `targets/` (these documents), `blobs/<sha256>` (everything large).
"""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import msgspec

from edged.models.errors import ManifestError

FORMAT: Literal[1] = 1
MAX_DOCUMENT = 4 << 20
MAX_BLOB = 1 << 34
MIN_CHUNK = 1 << 12
MAX_CHUNK = 1 << 24
MAX_CHUNKS = 1 << 15
MAX_TENSORS = 1024
MAX_DELTAS = 64
MAX_CASES = 4096
MAX_DEVICES = 100_000
MAX_MODELS = 1024
MAX_VERSION = (1 << 53) - 1
CHUNK_BYTES = 1 << 18

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")

Algorithm = Literal["tensor-diff-zstd", "zstd-patch"]


def check_name(name: str, what: str = "model") -> str:
    """`name` if it may stand in a target path: letters, digits, `_.-`, 64 at most. Else ManifestError."""
    if _NAME.fullmatch(name) is None:
        raise ManifestError(
            f"{name[:80]!r} is not a {what} name", remedy="letters, digits, '_', '.' and '-', 64 at most"
        )
    return name


def _need(holds: bool, text: str) -> None:
    """ValueError, which msgspec turns into its own with the place in the document."""
    if not holds:
        raise ValueError(text)


def _digest(text: str, what: str) -> None:
    _need(_DIGEST.fullmatch(text) is not None, f"{what} is not a sha256 in 64 lower-case hex digits")


def _named(text: str, what: str) -> None:
    _need(_NAME.fullmatch(text) is not None, f"{what} {text[:80]!r} is not a name")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Frozen, and an unknown field is an error: an older daemon must not ignore what a newer one obeys."""


class Blob(_Strict, frozen=True, kw_only=True):
    """`length` bytes with this sha256, in chunks of `chunk_bytes` (the last may be shorter), each with its
    own sha256 in `chunks`."""

    sha256: str
    length: int
    chunk_bytes: int
    chunks: tuple[str, ...]

    def __post_init__(self) -> None:
        _digest(self.sha256, "sha256")
        _need(0 <= self.length <= MAX_BLOB, f"length must be 0 to {MAX_BLOB}")
        _need(MIN_CHUNK <= self.chunk_bytes <= MAX_CHUNK, f"chunk_bytes must be {MIN_CHUNK} to {MAX_CHUNK}")
        count = -(-self.length // self.chunk_bytes)
        _need(count <= MAX_CHUNKS, f"more than {MAX_CHUNKS} chunks")
        _need(len(self.chunks) == count, f"{len(self.chunks)} chunks, length and chunk_bytes make {count}")
        for chunk in self.chunks:
            _digest(chunk, "a chunk")


class TensorSpec(_Strict, frozen=True, kw_only=True):
    """One input or output: name, dtype as edged names it, shape (-1 for what may vary)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        _need(len(self.name) <= 512, "a tensor name has more than 512 characters")
        _need(0 < len(self.dtype) <= 16, "a dtype has 1 to 16 characters")
        _need(len(self.shape) <= 8 and all(-1 <= d < 1 << 31 for d in self.shape), "shape is out of range")


class Delta(_Strict, frozen=True, kw_only=True):
    """How to make `Manifest.file` from the blob `base` (a sha256): `blob` is the patch."""

    base: str
    algorithm: Algorithm
    blob: Blob

    def __post_init__(self) -> None:
        _digest(self.base, "base")


class Golden(_Strict, frozen=True, kw_only=True):
    """What the model must answer on the device. `blob`: case after case, the raw inputs and then the outputs,
    little-endian, in the order of the signature. `tolerance` 0: equal bytes; else the largest absolute
    difference. `latency_us`: the most that the median case may take; 0 for no limit."""

    blob: Blob
    cases: int
    tolerance: float = 0.0
    latency_us: int = 0

    def __post_init__(self) -> None:
        _need(1 <= self.cases <= MAX_CASES, f"cases must be 1 to {MAX_CASES}")
        _need(self.tolerance >= 0.0, "tolerance must not be negative")
        _need(0 <= self.latency_us <= 1 << 40, "latency_us is out of range")
        _need(self.blob.length % self.cases == 0, "the golden blob's length is no multiple of its cases")


class Manifest(_Strict, frozen=True, kw_only=True):
    """One version of one model. Versions below `floor` are barred for ever once this one has been seen.
    `encrypted` names the key that the file is sealed with at rest, "" for none."""

    format: Literal[1] = FORMAT
    model: str
    version: int
    floor: int = 0
    file: Blob
    encrypted: str = ""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    deltas: tuple[Delta, ...] = ()
    golden: Golden
    min_edged: str = ""
    backends: tuple[str, ...] = ()
    notes: str = ""

    def __post_init__(self) -> None:
        _named(self.model, "model")
        _need(1 <= self.version <= MAX_VERSION, f"version must be 1 to {MAX_VERSION}")
        _need(0 <= self.floor <= self.version, "floor must be 0 to version")
        _need(self.file.length > 0, "the file is empty")
        _need(not self.encrypted or _NAME.fullmatch(self.encrypted) is not None, "encrypted is no key name")
        for tensors in (self.inputs, self.outputs):
            _need(1 <= len(tensors) <= MAX_TENSORS, f"inputs and outputs must be 1 to {MAX_TENSORS}")
        _need(len(self.deltas) <= MAX_DELTAS, f"more than {MAX_DELTAS} deltas")
        _need(len(self.backends) <= 32, "more than 32 backends")
        _need(len(self.min_edged) <= 32, "min_edged has more than 32 characters")
        _need(len(self.notes) <= 4096, "notes have more than 4096 characters")


class RolloutRule(_Strict, frozen=True, kw_only=True):
    """Which version of one model a channel's devices should run. In are the `devices` named, and those whose
    hash falls into the first `percent`; `paused` keeps everybody where they are; versions below `floor`
    are barred for ever."""

    version: int
    percent: float = 100.0
    salt: str = ""
    floor: int = 0
    devices: tuple[str, ...] = ()
    paused: bool = False

    def __post_init__(self) -> None:
        _need(1 <= self.version <= MAX_VERSION, f"version must be 1 to {MAX_VERSION}")
        _need(0.0 <= self.percent <= 100.0, "percent must be 0 to 100")
        _need(0 <= self.floor <= self.version, "floor must be 0 to version")
        _need(len(self.salt) <= 128, "salt has more than 128 characters")
        _need(len(self.devices) <= MAX_DEVICES, f"more than {MAX_DEVICES} devices")
        _need(all(0 < len(d) <= 128 for d in self.devices), "a device id has 1 to 128 characters")


class Rollout(_Strict, frozen=True, kw_only=True):
    """One channel: a rule for each of its models."""

    format: Literal[1] = FORMAT
    channel: str
    models: dict[str, RolloutRule]

    def __post_init__(self) -> None:
        _named(self.channel, "channel")
        _need(len(self.models) <= MAX_MODELS, f"more than {MAX_MODELS} models")
        for name in self.models:
            _named(name, "model")


def manifest_path(model: str, version: int) -> str:
    """The target path of a version's manifest."""
    if not 1 <= version <= MAX_VERSION:
        raise ManifestError(f"version {version} of {model!r} is not 1 to {MAX_VERSION}")
    return f"models/{check_name(model)}/{version}.json"


def rollout_path(channel: str) -> str:
    """The target path of a channel's rollout."""
    return f"rollout/{check_name(channel, 'channel')}.json"


def blob_path(sha256: str) -> str:
    """Where a repository keeps a blob. ManifestError for what is not a digest."""
    if _DIGEST.fullmatch(sha256) is None:
        raise ManifestError(f"{sha256[:80]!r} is not a sha256")
    return f"blobs/{sha256}"


def encode(document: msgspec.Struct) -> bytes:
    """JSON in the order of the struct's fields, no spaces, so that equal documents are equal bytes."""
    return msgspec.json.encode(document)


def _decode(data: bytes, kind: type[T], what: str) -> T:
    if len(data) > MAX_DOCUMENT:
        raise ManifestError(f"{what} has {len(data)} bytes, the limit is {MAX_DOCUMENT}")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"{what} breaks its format: {str(error).replace('$.', '')}") from None


def decode_manifest(data: bytes, model: str, version: int) -> Manifest:
    """The manifest in `data`, which must be of this model and version. ManifestError says what is wrong."""
    made = _decode(data, Manifest, f"manifest of {model} {version}")
    if (made.model, made.version) != (model, version):
        raise ManifestError(f"the manifest of {model} {version} calls itself {made.model} {made.version}")
    return made


def decode_rollout(data: bytes, channel: str) -> Rollout:
    """The rollout in `data`, which must be of this channel."""
    made = _decode(data, Rollout, f"rollout of {channel}")
    if made.channel != channel:
        raise ManifestError(f"the rollout of {channel} calls itself {made.channel}")
    return made
