"""Which kernels a machine has: masks by name and number, and what the extension tells of its lists."""

from __future__ import annotations

import pytest

from edged_backends import _kernels
from edged_backends.catalogue import ARCHES, arch_names, host_catalogue, parse_mask


@pytest.mark.parametrize(
    ("text", "bits"),
    [("none", 0), ("avx2", 1), ("avx512, AVX2", 3), ("0x18", 24), ("neon,0x20", 40), ("", 0)],
)
def test_masks_are_names_or_numbers(text: str, bits: int) -> None:
    assert parse_mask(text) == bits


def test_an_unknown_set_is_named() -> None:
    with pytest.raises(ValueError, match="'avx9' is no instruction set: use none, avx2"):
        parse_mask("avx2,avx9")


def test_names_and_bits_are_each_other_s_reverse() -> None:
    assert [parse_mask(name) for name in arch_names(511)] == [bit for bit in ARCHES.values() if bit]


def test_a_mask_only_takes_away() -> None:
    whole, scalar = host_catalogue(), host_catalogue("none")
    assert scalar.present == 0
    assert host_catalogue("0xffff").present == whole.present == _kernels.detect()


def test_every_op_has_a_scalar_kernel_and_a_params_struct() -> None:
    scalar = host_catalogue("none")
    for op in {row.op for row in scalar.rows}:
        assert scalar.pick(op) is not None, op
        assert all(kind in "if" for _, kind in scalar.layout(op))


def test_a_scalar_kernel_is_the_last_of_its_op() -> None:
    last = {row.op: row for row in host_catalogue().rows}
    assert [row.name for row in last.values() if row.arch] == []


def test_names_of_kernels_are_unique() -> None:
    rows = host_catalogue().rows
    assert len({(row.op, row.name) for row in rows}) == len(rows)


def test_an_op_without_params_is_a_programming_error() -> None:
    with pytest.raises(KeyError, match="OPPARAMS"):
        host_catalogue().layout("no_such_op")
