"""The cursor: what it reads, and that it refuses whatever lies outside."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest

from edged.errors import ModelError
from edged.formats.flatbuf import Buffer, Table
from edged.formats.tflite.emit import Blob, Emitter, Numbers, Scalar, Text, Vector
from edged.formats.tflite.emit import Table as Described


def whole() -> bytes:
    child = Described({0: Scalar("i", -5)})
    cells = {
        0: Scalar("b", -1), 1: Scalar("q", 1 << 40), 2: Text("näme"), 3: Numbers("h", (1, -2)),
        5: child, 6: Vector([child, child]), 7: Blob(b"abc"), 8: Scalar("?", True), 9: Scalar("d", 0.5),
    }  # fmt: skip
    return bytes(Emitter(b"TEST").write(Described(cells)))


def root(data: bytes) -> Table:
    return Buffer(memoryview(data)).root()


def test_every_kind_of_field_is_read() -> None:
    table = root(whole())
    assert (table.number(0, "b"), table.number(1, "q"), table.number(9, "d")) == (-1, 1 << 40, 0.5)
    assert (table.text(2), table.numbers(3, "h"), bytes(table.view(7))) == ("näme", (1, -2), b"abc")
    assert table.number(8, "?") is True
    child = table.table(5)
    assert child is not None
    assert child.number(0, "i") == -5
    assert [item.number(0, "i") for item in table.tables(6)] == [-5, -5]
    assert table.item(6, 2) is None


def test_absent_fields_give_their_defaults() -> None:
    table = root(whole())
    assert (table.number(4, "i", 9), table.text(40), table.numbers(4, "i")) == (9, "", ())
    assert table.table(4) is None
    assert list(table.tables(4)) == []
    assert table.view(99) == b""


def test_every_truncation_is_refused_or_reads_as_something() -> None:
    data = whole()
    for length in range(len(data)):
        with suppress(ModelError):
            walk(root(data[:length]))
    with pytest.raises(ModelError):
        walk(root(data[:-12]))


def test_every_word_may_be_anything() -> None:
    data = whole()
    for at in range(0, len(data) - 4, 2):
        for value in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data)):
            broken = bytearray(data)
            struct.pack_into("<I", broken, at, value)
            with suppress(ModelError):
                walk(root(bytes(broken)))


def walk(table: Table) -> None:
    for slot in range(10):
        table.number(slot, "q")
        table.text(slot)
        table.numbers(slot, "h")
        table.view(slot, 4)
        child = table.table(slot)
        if child is not None:
            child.number(0, "i")
        for item in table.tables(slot, 100):
            item.number(0, "i")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "an offset at byte 0 lies outside the file of 0 bytes"),
        (b"\0\0\0\0TEST", "an offset's target at byte 0"),
        (struct.pack("<I4si", 8, b"TEST", 100), "a vtable at byte -92"),
        (struct.pack("<I4siHH", 8, b"TEST", -4, 3, 4), "vtable at byte 12 is broken"),
        (struct.pack("<I4siHH", 8, b"TEST", -4, 4, 400), "a table of 400 bytes at byte 8"),
    ],
)
def test_errors_name_the_byte(data: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        root(data)


def test_aliased_vectors_run_out_of_budget() -> None:
    table = root(whole())
    with pytest.raises(ModelError, match="more than a file of"):
        [table.numbers(3, "h") for _ in range(1 << 20)]
