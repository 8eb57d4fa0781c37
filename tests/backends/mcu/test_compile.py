"""Programs compiled for a slot: both compilers, the cache, and what is refused."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edged.errors import BackendError
from edged_backends.mcu.compile import TARGETS, Compiler, Place, Programs, compilers, digest
from edged_backends.mcu.elf import HEADER, flat

PLACE = Place("cortex-m4", 0x21000000, 0x4000)
SOURCE = b"""#include <string.h>
#include "half.h"
static const int table[2] = {17, 25};
int answer(void *to) { memset(to, 1, 100); return HALF + table[1]; }
struct descriptor { unsigned magic; int (*call)(void *); };
__attribute__((section(".edged_program"), used)) const struct descriptor edged_program_descriptor =
    {0x12345678u, answer};
"""
FILES = {"program.c": SOURCE, "half.h": b"#define HALF 21\n"}


def kind(name: str) -> Compiler:
    found = {c.kind: c for c in compilers()}
    if name not in found:
        pytest.skip(f"no {name} compiler here")
    return found[name]


@pytest.mark.parametrize(("name", "target"), [*(("gcc", t) for t in TARGETS), *(("zig", t) for t in TARGETS)])
def test_a_program_begins_with_its_descriptor(name: str, target: str) -> None:
    place = Place(target, PLACE.address, PLACE.size)
    data = Programs([], [kind(name)]).get(FILES, place)
    magic, call = struct.unpack_from("<II", data)
    assert magic == 0x12345678
    assert call & 1
    assert PLACE.address < call < PLACE.address + len(data)


def test_it_is_kept_and_found_without_a_compiler(tmp_path: Path) -> None:
    made = Programs([tmp_path / "cache"], [kind("gcc")]).get(FILES, PLACE)
    assert Programs([tmp_path / "other", tmp_path / "cache"], []).get(FILES, PLACE) == made
    with pytest.raises(BackendError, match="no compiler for boards"):
        Programs([tmp_path / "cache"], []).get({**FILES, "half.h": b"#define HALF 22\n"}, PLACE)


@pytest.mark.parametrize(
    "spoil", [lambda d: d[:-1], lambda d: d[:40], lambda d: b"", lambda d: b"\x01" + d[1:]]
)
def test_a_damaged_file_is_told_and_never_taken(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    made = Programs([tmp_path], [kind("gcc")]).get(FILES, PLACE)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
    file.write_bytes(spoil(file.read_bytes()))
    told: list[str] = []
    with pytest.raises(BackendError, match=r"no compiler for boards, and .*\.bin is damaged"):
        Programs([tmp_path], [], told.append).get(FILES, PLACE)
    assert told == [f"{file} is damaged: it is not what was compiled"]
    assert Programs([tmp_path], [kind("gcc")]).get(FILES, PLACE) == made
    assert Programs([tmp_path], []).get(FILES, PLACE) == made


def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"no folder")
    told: list[str] = []
    assert Programs([place], [kind("gcc")], told.append).get(FILES, PLACE)
    assert told[-1].startswith(f"{place} keeps no compiled programs")


def test_a_compiler_that_does_not_start_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "arm-none-eabi-gcc"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "gcc" not in [found.kind for found in compilers()]


def test_a_full_disk_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(BackendError, match="no place to compile in"):
        Programs([], [kind("gcc")]).get(FILES, PLACE)


def test_the_digest_tells_sources_and_places_apart() -> None:
    others = [
        digest(FILES, PLACE),
        digest({**FILES, "half.h": b""}, PLACE),
        digest(FILES, Place("cortex-m7", PLACE.address, PLACE.size)),
        digest(FILES, Place("cortex-m4", PLACE.address + 64, PLACE.size)),
        digest({"a.c": b"bc", "d.c": b""}, PLACE),
        digest({"a.c": b"b", "cd.c": b""}, PLACE),
    ]
    assert len(set(others)) == len(others)


REFUSED: Sequence[tuple[bytes, str]] = [
    (b"int f( {", "error"),
    (SOURCE + b"int counter; int more(void) { return ++counter; }\n"
     b'__attribute__((section(".edged_program"), used)) int (*const keep)(void) = more;', "arena and state"),
    (SOURCE + b'__attribute__((section(".edged_program"), used)) const char big[20000] = {1};', "will not fit"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "said"), REFUSED)
def test_refusals_give_the_compilers_words(source: bytes, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        Programs([], [kind("gcc")]).get({**FILES, "program.c": source}, PLACE)


def test_an_unknown_target() -> None:
    with pytest.raises(BackendError, match="no target 'z80'"):
        Programs([], [kind("gcc")]).get(FILES, Place("z80", 0, 100))


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(100), b"\x7fELF\x01\x01" + bytes(46)]
)
def test_no_elf(data: bytes) -> None:
    with pytest.raises(BackendError, match="ELF"):
        flat(data)


def test_an_elf_that_lies() -> None:
    header = HEADER.pack(b"\x7fELF\x01\x01", 2, 40, 1, 0, 52, 0, 0, 52, 32, 2, 0, 0, 0)
    segment = struct.pack("<8I", 1, 52, 0, 0x1000, 4, 4, 5, 4)
    with pytest.raises(BackendError, match="cut off in its program headers"):
        flat(header + segment)
    far = struct.pack("<8I", 1, 84, 0, 0x90000000, 4, 4, 5, 4)
    with pytest.raises(BackendError, match="spread over"):
        flat(header + segment + far + b"abcd")
    long = struct.pack("<8I", 1, 84, 0, 0x1000, 4000, 4, 5, 4)
    with pytest.raises(BackendError, match="cut off in a segment"):
        flat(header + segment + long)
