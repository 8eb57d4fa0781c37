"""Model files sealed at rest: AES-256-GCM in chunks, so that a file is opened piece by piece and no cut,
swapped or repeated chunk goes unseen (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar,
2015).

    file  = "EDGEDSL1" u32 chunk bytes, u64 length of the plain file, 16 bytes salt; then the chunks
    chunk = AES-GCM(part of the plain file), 16 bytes longer; nonce = u64 number of the chunk, 3 zero bytes,
    u8 1
            for the last one else 0; the header is its associated data
    the key of a file = HKDF-SHA256(the named key, salt, "edged model file")

Keys are 32 bytes and have a name, which the manifest states. A sealed file stays sealed on disk; it is
opened into memory. Sealing hides a model from who takes the disk; whether it is genuine is for the
signatures to say."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from edged.models.errors import SealError
from edged.models.manifest import check_name

MAGIC = b"EDGEDSL1"
CHUNK = 1 << 18
LARGEST_CHUNK = 1 << 24
KEY_BYTES, TAG = 32, 16
_HEADER = struct.Struct("<8sIQ16s")
_NONCE = struct.Struct("<Q3xB")


def read_key(name: str, folders: Sequence[Path]) -> bytes:
    """The key `name` from the first of the folders that has a file of that name: $CREDENTIALS_DIRECTORY
    (systemd's LoadCredential), then the key folder of the configuration. 32 bytes, or 64 hex digits.
    SealError when it is missing, when others may read it, or when it is no key."""
    path = _place(name, folders)
    with path.open("rb") as file:
        _check_private(path, os.fstat(file.fileno()))
        data = file.read(4 * KEY_BYTES)
    return parse_key(data, str(path))


def require_key(name: str, folders: Sequence[Path]) -> None:
    """SealError unless the key is here and private. Does not read it: the updater, which has a network,
    asks."""
    path = _place(name, folders)
    _check_private(path, path.stat())


def _place(name: str, folders: Sequence[Path]) -> Path:
    check_name(name, "key")
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        places = " or ".join(str(f) for f in folders) or "no folder is configured"
        raise SealError(
            f"the model is sealed with the key {name!r}, which is not here ({places})",
            remedy=f"LoadCredential={name}:/path/of/the/key in the unit, or a file of that name, mode 0400",
        )
    return path


def _check_private(path: Path, status: os.stat_result) -> None:
    """Belongs to us or to root, and nobody else may touch it."""
    if status.st_uid not in (0, os.geteuid()):
        raise SealError(f"{path} belongs to uid {status.st_uid}", remedy="it must belong to edged or to root")
    if stat.S_IMODE(status.st_mode) & 0o077:
        mode = oct(stat.S_IMODE(status.st_mode))
        raise SealError(f"{path} may be read by others (mode {mode})", remedy=f"chmod 0400 {path}")


def parse_key(data: bytes, where: str) -> bytes:
    """32 raw bytes, or 64 hex digits with white space around. SealError for anything else."""
    if len(data) == KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.strip().decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SealError(f"{where} holds no key", remedy="32 bytes, or 64 hex digits: openssl rand -hex 32")
    return key


def seal(key: bytes, plain: BinaryIO, length: int, out: BinaryIO, chunk: int = CHUNK) -> None:
    """Writes the sealed form of the next `length` bytes of `plain`."""
    header = _HEADER.pack(MAGIC, chunk, length, os.urandom(16))
    cipher = _cipher(key, header)
    out.write(header)
    for number, size, last in _chunks(length, chunk):
        part = plain.read(size)
        if len(part) != size:
            raise SealError(f"the file is shorter than {length} bytes")
        out.write(cipher.encrypt(_NONCE.pack(number, last), part, header))


def unseal(key: bytes, sealed: BinaryIO, name: str = "the file") -> Iterator[bytes]:
    """The plain file, piece by piece. SealError for a wrong key or a file that is damaged, cut or too long:
    what was given before is then not to be used."""
    from cryptography.exceptions import InvalidTag

    header = sealed.read(_HEADER.size)
    chunk, length = _stated(header, name)
    cipher = _cipher(key, header)
    for number, size, last in _chunks(length, chunk):
        try:
            yield cipher.decrypt(_NONCE.pack(number, last), sealed.read(size + TAG), header)
        except InvalidTag:
            where = "the key is another one, or the file is damaged" if number == 0 else "the file is damaged"
            raise SealError(f"{name} cannot be opened at chunk {number}: {where}") from None
    if sealed.read(1):
        raise SealError(f"{name} goes on after its last chunk")


def plain_length(sealed: BinaryIO, name: str = "the file") -> int:
    """The length that the header states; no key needed, nothing proved. SealError when the file cannot have
    it."""
    chunk, length = _stated(sealed.read(_HEADER.size), name)
    wanted = sealed_length(length, chunk)
    if os.fstat(sealed.fileno()).st_size != wanted:
        raise SealError(f"{name} is cut or too long: {wanted} bytes were expected")
    return length


def sealed_length(length: int, chunk: int = CHUNK) -> int:
    """Bytes of the sealed form of `length` bytes."""
    return _HEADER.size + length + TAG * max(1, -(-length // chunk))


def _stated(header: bytes, name: str) -> tuple[int, int]:
    if len(header) != _HEADER.size or header[:8] != MAGIC:
        raise SealError(f"{name} is not a sealed model")
    _, chunk, length, _ = _HEADER.unpack(header)
    if not 1 <= chunk <= LARGEST_CHUNK:
        raise SealError(f"{name} states chunks of {chunk} bytes, 1 to {LARGEST_CHUNK} are possible")
    return chunk, length


def _chunks(length: int, chunk: int) -> Iterator[tuple[int, int, bool]]:
    """(number, size, whether it is the last) of each chunk; an empty file has one of no bytes."""
    count = max(1, -(-length // chunk))
    for number in range(count):
        yield number, min(chunk, length - number * chunk), number == count - 1


def _cipher(key: bytes, header: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    except ImportError:
        raise SealError("sealed models need cryptography", remedy="pip install 'edged[updates]'") from None
    if len(key) != KEY_BYTES:
        raise SealError(f"the key has {len(key)} bytes, it must have {KEY_BYTES}")
    derived = HKDF(SHA256(), KEY_BYTES, header[-16:], b"edged model file").derive(key)
    return AESGCM(derived)
