"""Sealed files open with their key only and show every change; keys must be private."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from edged.models import cipher
from edged.models.errors import ManifestError, SealError

KEY = bytes(range(32))


def sealed(data: bytes, chunk: int = 64, key: bytes = KEY) -> bytes:
    out = io.BytesIO()
    cipher.seal(key, io.BytesIO(data), len(data), out, chunk)
    return out.getvalue()


def opened(data: bytes, key: bytes = KEY) -> bytes:
    return b"".join(cipher.unseal(key, io.BytesIO(data), "model"))


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 128, 1000])
def test_what_is_sealed_comes_back(length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    made = sealed(data)
    assert len(made) == cipher.sealed_length(length, 64)
    assert opened(made) == data
    assert length < 16 or data not in made


def test_two_seals_of_one_file_share_no_chunk() -> None:
    first, second = sealed(bytes(1000)), sealed(bytes(1000))
    assert first[20:] != second[20:]
    assert len({first[i : i + 80] for i in range(36, len(first), 80)}) == -(-1000 // 64)


def test_another_key_is_refused() -> None:
    with pytest.raises(SealError, match="the key is another one"):
        opened(sealed(b"model"), bytes(32))


def test_every_changed_byte_is_noticed() -> None:
    data = np.random.default_rng(0).bytes(200)
    made = sealed(data)
    for index in range(len(made)):
        with pytest.raises(SealError):
            opened(made[:index] + bytes([made[index] ^ 1]) + made[index + 1 :])


def test_every_cut_is_noticed() -> None:
    made = sealed(np.random.default_rng(0).bytes(200))
    for index in range(len(made)):
        with pytest.raises(SealError):
            opened(made[:index])
    with pytest.raises(SealError, match="after its last chunk"):
        opened(made + b"x")


def test_chunks_cannot_change_places_or_go() -> None:
    made = sealed(bytes(64) + bytes(64) + bytes(64))
    head, a, b, c = made[:36], made[36:116], made[116:196], made[196:]
    for order in ([b, a, c], [a, a, c], [a, c], [a, b], [c], [a, b, b]):
        with pytest.raises(SealError):
            opened(head + b"".join(order))


def test_a_chunk_of_another_file_under_the_same_key_is_noticed() -> None:
    first, second = sealed(bytes(64)), sealed(bytes(64))
    with pytest.raises(SealError):
        opened(first[:36] + second[36:])


@pytest.mark.parametrize("chunk", [0, 1 << 25, (1 << 32) - 1])
def test_a_header_that_asks_for_too_much_is_refused(chunk: int) -> None:
    made = sealed(b"model")
    with pytest.raises(SealError, match="chunks of"):
        opened(made[:8] + chunk.to_bytes(4, "little") + made[12:])


def test_the_length_is_known_without_a_key(tmp_path: Path) -> None:
    path = tmp_path / "sealed"
    path.write_bytes(sealed(bytes(777)))
    with path.open("rb") as file:
        assert cipher.plain_length(file) == 777
    path.write_bytes(sealed(bytes(777))[:-1])
    with path.open("rb") as file, pytest.raises(SealError, match="cut or too long"):
        cipher.plain_length(file)


def key_at(path: Path, data: bytes = KEY, mode: int = 0o400) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("data", [KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n"])
def test_a_key_is_bytes_or_hex(tmp_path: Path, data: bytes) -> None:
    key_at(tmp_path / "shop", data)
    assert cipher.read_key("shop", [tmp_path]) == KEY


@pytest.mark.parametrize("data", [b"", b"short", bytes(31), bytes(33), b"zz" * 32, KEY.hex().encode()[:-1]])
def test_what_is_no_key_is_named(tmp_path: Path, data: bytes) -> None:
    key_at(tmp_path / "shop", data)
    with pytest.raises(SealError, match="shop holds no key"):
        cipher.read_key("shop", [tmp_path])


def test_the_first_folder_counts(tmp_path: Path) -> None:
    key_at(tmp_path / "credentials" / "shop")
    key_at(tmp_path / "keys" / "shop", bytes(32))
    assert cipher.read_key("shop", [tmp_path / "credentials", tmp_path / "keys"]) == KEY
    assert cipher.read_key("shop", [tmp_path / "absent", tmp_path / "keys"]) == bytes(32)


def test_a_missing_key_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="LoadCredential=shop"):
        cipher.read_key("shop", [tmp_path])
    with pytest.raises(SealError, match="no folder is configured"):
        cipher.read_key("shop", [])


@pytest.mark.parametrize("mode", [0o444, 0o440, 0o640, 0o602])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_at(tmp_path / "shop", mode=mode)
    with pytest.raises(SealError, match=f"chmod 0400 {path}"):
        cipher.read_key("shop", [tmp_path])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_key_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(key_at(tmp_path / "shop"), 12345, 12345)
    with pytest.raises(SealError, match="belongs to uid 12345"):
        cipher.read_key("shop", [tmp_path])


@pytest.mark.parametrize("name", ["../shop", "/etc/shadow", "", "."])
def test_a_key_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ManifestError, match="is not a key name"):
        cipher.read_key(name, [tmp_path])
