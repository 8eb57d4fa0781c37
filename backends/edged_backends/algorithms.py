"""The ways to compute a convolution, with the time that each should take and the memory that it needs. Pure.

An estimate is multiply-accumulates at the rate that the tile reaches, counted on the padded depth, plus what
is copied before; it only has to rank the ways. `edged tune` replaces it by measurements (`conv_key`).
"""

from __future__ import annotations

from edged_backends.catalogue import ARCHES, KernelRow
from edged_backends.choices import Option
from edged_backends.lower.conv_shape import (
    ConvShape,
    copied,
    fits_winograd,
    winograd_band,
    winograd_scratch,
    with_segments,
    with_units,
)
from edged_backends.weights import up

MACS_PER_NS = {1: 300.0, 4: 90.0}
"""By element size: what one core's tile reaches on long depths."""
AMX_MACS_PER_NS, AMX_LEAST_DEPTH = 1000.0, 32
COPY_BYTES_PER_NS = 30.0
COPY_RUN_NS = 4.0
"""One run of a copy: its loop and its masked tail."""
TRANSFORM_NS = 0.09
"""One element of a Winograd transform: read, transformed twice, written."""
NEAR_BYTES, NEAR_BYTES_PER_NS, FAR_BYTES_PER_NS = 1 << 20, 60.0, 12.0
"""Weights up to NEAR_BYTES stay in L2 between units; more of them come from further away."""
WINOGRAD = {"winograd2": 2, "winograd4": 4}
"""Ways of a 3x3 convolution of stride 1: the side of an output tile."""


def conv_key(shape: ConvShape, op: str, threads: int) -> str:
    """All that a convolution's time depends on, but the machine."""
    s = shape
    return (
        f"{op} {s.batch}x{s.in_h}x{s.in_w}x{s.in_c}/{s.in_pitch} to {s.out_h}x{s.out_w}x{s.out_c} "
        f"kernel {s.kernel_h}x{s.kernel_w} stride {s.stride_h},{s.stride_w} "
        f"dilation {s.dilation_h},{s.dilation_w} pad {s.pad_top},{s.pad_left} threads {threads}"
    )


def conv_options(shape: ConvShape, row: KernelRow, element: int, winograd: bool = False) -> list[Option]:
    """The ways to compute a convolution by `row`, for one thread. `winograd`: there are kernels for it."""
    options = [_direct(shape, row, element, way) for way in ("indirect", "im2col")]
    if winograd and fits_winograd(shape):
        options += [_winograd(shape, row, way) for way in WINOGRAD]
    return options


def _direct(shape: ConvShape, row: KernelRow, element: int, way: str) -> Option:
    cut = with_units(with_segments(shape, way), row, element, 1)
    padded = cut.segments * up(cut.depth // cut.segments, row.kr)
    channels = up(cut.out_c, row.nr)
    in_place = element == 4 and cut.inside and cut.segments > 1
    copies = 0.0 if in_place else _copy_ns(cut, element)
    weights = _weights_ns(element * channels * padded, cut.units)
    time = cut.batch * cut.out_h * _row_ns(cut, row, element) * channels * padded
    return Option(way, max(time, weights) + copies, element * copied(cut))


def _row_ns(cut: ConvShape, row: KernelRow, element: int) -> float:
    """One output row, one channel, one element of depth. AMX takes whole tiles of pixels of one output row
    (of any where windows are gathered), and leaves short depths to VNNI."""
    if not row.arch & ARCHES["amx"] or cut.depth // cut.segments < AMX_LEAST_DEPTH:
        return cut.out_w / MACS_PER_NS[element]
    pixels = cut.out_w if cut.segments == 1 else up(cut.out_w, row.mr)
    return pixels / AMX_MACS_PER_NS


def _copy_ns(shape: ConvShape, element: int) -> float:
    bands = shape.batch * -(-shape.out_h // shape.band)
    run = shape.kernel_w if shape.dilation_w == 1 else 1
    pixels = shape.band * shape.out_w
    runs = shape.band_height(shape.band)
    if shape.segments == 1:
        runs = pixels * shape.depth // (run * shape.in_c)
    return bands * (element * copied(shape) / COPY_BYTES_PER_NS + runs * COPY_RUN_NS)


def _weights_ns(nbytes: int, units: int) -> float:
    """Reading the weights once per unit."""
    return units * nbytes / (NEAR_BYTES_PER_NS if nbytes <= NEAR_BYTES else FAR_BYTES_PER_NS)


def _winograd(shape: ConvShape, row: KernelRow, way: str) -> Option:
    side = WINOGRAD[way]
    positions = (side + 2) ** 2
    band, tiles = winograd_band(shape, side)
    down = -(-shape.out_h // side)
    units = shape.batch * -(-down // band)
    rows = units * up(tiles, row.mr) if tiles % row.mr > row.mr // 2 else units * tiles
    channels = up(shape.out_c, row.nr)
    macs = positions * rows * shape.in_c * channels
    weights = _weights_ns(4 * positions * shape.in_c * channels, units)
    moved = positions * units * tiles * (shape.in_c + channels)
    time = max(macs / MACS_PER_NS[4], weights) + moved * TRANSFORM_NS
    return Option(way, time, winograd_scratch(shape, side))
