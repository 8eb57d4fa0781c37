"""Where tensors lie in a slot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged_ipc.layout import ALIGN, slot_layout


def test_example() -> None:
    layout = slot_layout([490, 0, 12, 64])
    assert layout.offsets == (0, 512, 512, 576)
    assert layout.size == 640


@given(st.lists(st.integers(0, 1 << 20)))
def test_aligned_in_order_and_apart(sizes: list[int]) -> None:
    layout = slot_layout(sizes)
    ends = [*layout.offsets[1:], layout.size][: len(sizes)]
    assert all(at % ALIGN == 0 for at in layout.offsets)
    assert all(at + size <= end for at, size, end in zip(layout.offsets, sizes, ends, strict=True))
    assert layout.size < sum(sizes) + ALIGN * (len(sizes) + 1)
