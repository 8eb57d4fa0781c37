"""Which kernel stands for an op on this machine: the extension's table seen through the instruction sets
that are present.

The table itself is the kernels.inc lists; this module only reads it. A catalogue can as well be made for
another machine (code generation for a microcontroller), from rows that were not compiled into the
extension."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

ARCHES: dict[str, int] = {
    "none": 0, "avx2": 1, "avx512": 2, "vnni": 4, "neon": 8, "dotprod": 16, "i8mm": 32, "dsp": 64,
    "mve": 128, "amx": 256,
}  # fmt: skip
"""Instruction sets by name, with the bits of abi.h's `enum edged_arch`."""

Layout = Sequence[tuple[str, str]]
"""Fields of a params struct in order: (name, "i" int32 or "f" float32)."""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One row of a kernels.inc list. `index` is its place in the extension's table (-1 when it is not
    compiled in)."""

    index: int
    arch: int
    op: str
    name: str
    mr: int = 1
    nr: int = 1
    kr: int = 1


@dataclass(frozen=True)
class Catalogue:
    """Kernels by op, best first, limited to the instruction sets of `present`."""

    rows: Sequence[KernelRow]
    layouts: Mapping[str, Layout]
    present: int
    _best: Mapping[str, KernelRow] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        best: dict[str, KernelRow] = {}
        for row in self.rows:
            if row.arch & ~self.present == 0:
                best.setdefault(row.op, row)
        object.__setattr__(self, "_best", best)

    def pick(self, op: str) -> KernelRow | None:
        """The best kernel of `op` here, or None when there is none."""
        return self._best.get(op)

    def layout(self, op: str) -> Layout:
        """Fields of the params struct that `op` takes (OPPARAMS of its family)."""
        found = self.layouts.get(op)
        if found is None:
            raise KeyError(f"op {op!r} has no OPPARAMS line in its family's kernels.inc")
        return found


def parse_mask(text: str) -> int:
    """Bits of "avx2,vnni" (names, separated by commas), or of a number ("0x7"). "none" leaves the scalar
    kernels.

    A set that stands on another is only useful together with it: "avx512,vnni". ValueError for a name that
    is unknown."""
    bits = 0
    for word in filter(None, (part.strip().lower() for part in text.split(","))):
        if word in ARCHES:
            bits |= ARCHES[word]
        else:
            try:
                bits |= int(word, 0)
            except ValueError:
                raise ValueError(f"{word!r} is no instruction set: use {', '.join(ARCHES)}") from None
    return bits


def arch_names(bits: int) -> list[str]:
    """Names of the instruction sets in `bits`."""
    return [name for name, bit in ARCHES.items() if bits & bit]


@cache
def host_catalogue(mask: str = "") -> Catalogue:
    """Kernels for this CPU, limited by `mask` (see `parse_mask`; empty: no limit)."""
    from edged_backends import _kernels

    present = _kernels.detect()
    if mask:
        present &= parse_mask(mask)
    return Catalogue(_rows(_kernels.table()), _layouts(_kernels.params(), _kernels.op_params()), present)


def _rows(table: Iterable[tuple[int, str, str, int, int, int]]) -> tuple[KernelRow, ...]:
    return tuple(KernelRow(index, *row) for index, row in enumerate(table))


def _layouts(structs: Mapping[str, Layout], ops: Mapping[str, str]) -> dict[str, Layout]:
    return {op: structs[struct] for op, struct in ops.items()}
