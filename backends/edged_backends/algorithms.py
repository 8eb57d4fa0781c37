"""The ways to compute a convolution, with the time that each should take and the memory that it needs. Pure.

An estimate is multiply-accumulates at the rate that the tile reaches, counted on the padded depth, plus what
is copied before; it only has to rank the ways. `edged tune` replaces it by measurements (`conv_key`).
"""

from __future__ import annotations

from edged_backends.catalogue import KernelRow
from edged_backends.choices import Option
from edged_backends.lower.conv_shape import ConvShape, copied, with_segments, with_units
from edged_backends.weights import up

MACS_PER_NS = {1: 300.0, 4: 90.0}
"""By element size: what one core's tile reaches on long depths."""
COPY_BYTES_PER_NS = 30.0
COPY_RUN_NS = 2.0
"""One run of a copy: its loop and its masked tail."""


def conv_key(shape: ConvShape, kind: str, threads: int) -> str:
    """All that a convolution's time depends on, but the machine."""
    s = shape
    return (
        f"conv {kind} {s.batch}x{s.in_h}x{s.in_w}x{s.in_c}/{s.in_pitch} to {s.out_h}x{s.out_w}x{s.out_c} "
        f"kernel {s.kernel_h}x{s.kernel_w} stride {s.stride_h},{s.stride_w} "
        f"dilation {s.dilation_h},{s.dilation_w} pad {s.pad_top},{s.pad_left} threads {threads}"
    )


def conv_options(shape: ConvShape, row: KernelRow, element: int) -> list[Option]:
    """im2col and indirect, for one thread."""
    return [_option(shape, row, element, "indirect"), _option(shape, row, element, "im2col")]


def _option(shape: ConvShape, row: KernelRow, element: int, way: str) -> Option:
    cut = with_units(with_segments(shape, way), row, element, 1)
    length = cut.depth // cut.segments
    padded = cut.segments * up(length, row.kr)
    macs = cut.batch * cut.out_h * cut.out_w * up(cut.out_c, row.nr) * padded
    direct = element == 4 and cut.inside and cut.segments > 1
    copies = 0.0 if direct else _copy_ns(cut, element)
    return Option(way, macs / MACS_PER_NS[element] + copies, element * copied(cut))


def _copy_ns(shape: ConvShape, element: int) -> float:
    bands = shape.batch * -(-shape.out_h // shape.band)
    run = shape.kernel_w if shape.dilation_w == 1 else 1
    pixels = shape.band * shape.out_w
    runs = (
        pixels * shape.depth // (run * shape.in_c) if shape.segments == 1 else shape.band_height(shape.band)
    )
    return bands * (element * copied(shape) / COPY_BYTES_PER_NS + runs * COPY_RUN_NS)
