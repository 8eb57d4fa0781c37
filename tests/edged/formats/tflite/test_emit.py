"""The emitter: alignment, shared vtables, patches."""

from __future__ import annotations

import struct

import pytest

from edged.formats.flatbuf import Buffer
from edged.formats.tflite.emit import Blob, Emitter, Numbers, Scalar, Table, Text, Vector


@pytest.mark.parametrize("before", range(20))
def test_elements_are_aligned_whatever_comes_before(before: int) -> None:
    out = bytes(
        Emitter(b"TEST").write(Table({0: Text("n" * before), 1: Blob(b"blob"), 2: Numbers("q", (1 << 33,))}))
    )
    assert out.index(b"blob") % 16 == 0
    assert out.index(struct.pack("<q", 1 << 33)) % 8 == 0


def test_scalars_of_a_table_are_aligned() -> None:
    out = bytes(Emitter(b"TEST").write(Table({0: Scalar("b", 1), 1: Scalar("Q", 7), 2: Scalar("i", 3)})))
    root = Buffer(memoryview(out)).root()
    assert root.place(1) % 8 == 0
    assert root.place(2) % 4 == 0
    assert (root.number(0, "b"), root.number(1, "Q"), root.number(2, "i")) == (1, 7, 3)


def test_tables_of_one_layout_share_a_vtable() -> None:
    def size(count: int) -> int:
        return len(
            Emitter(b"TEST").write(Table({0: Vector([Table({0: Scalar("i", i)}) for i in range(count)])}))
        )

    assert size(11) - size(10) == 4 + 8


def test_64_bit_fields_can_be_patched() -> None:
    inner = Table({1: Scalar("Q", 0)})
    emitter = Emitter(b"TEST")
    out = emitter.write(Table({0: inner}))
    emitter.patch(inner, 1, 1 << 40)
    child = Buffer(memoryview(bytes(out))).root().table(0)
    assert child is not None
    assert child.number(1, "Q") == 1 << 40
