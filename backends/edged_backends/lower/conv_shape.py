"""Geometry of a convolution: the fields that its kernel parameters begin with, units, scratch.

The scratch formulas are those of gemm/conv_*.c; tests/kernels/gemm_pack.c states them once more, in C,
for the check program.
No lowering rule stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edged.graph.model import DType, Node
from edged.graph.ops.spec import attr
from edged_backends.catalogue import ARCHES, KernelRow
from edged_backends.weights import up

L1_BAND = 32 * 1024
"""Bytes of copied activations that a unit should not exceed: they are read once per block of channels."""

WINOGRAD_BYTES = 512 * 1024
"""Bytes of transformed inputs and products of a unit."""


@dataclass(frozen=True, slots=True)
class ConvShape:
    """One convolution. Names are those of gemm/params.inc; `batch` is in front of them."""

    batch: int
    in_h: int
    in_w: int
    in_c: int
    in_pitch: int
    in_first: int
    out_h: int
    out_w: int
    out_c: int
    out_pitch: int
    out_first: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int
    segments: int = 1
    band: int = 0
    columns: int = 0

    @property
    def depth(self) -> int:
        return self.kernel_h * self.kernel_w * self.in_c

    @property
    def macs(self) -> int:
        return self.batch * self.out_h * self.out_w * self.out_c * self.depth

    @property
    def pointwise(self) -> bool:
        """Every output pixel is computed from the input pixel of the same place."""
        return (self.kernel_h, self.kernel_w, self.stride_h, self.stride_w, self.pad_top, self.pad_left) == (
            1,
            1,
            1,
            1,
            0,
            0,
        )

    @property
    def inside(self) -> bool:
        """No window leaves the image."""
        reaches = self.band_height(self.out_h) <= self.in_h and self.band_width <= self.in_w
        return self.pad_top == 0 and self.pad_left == 0 and reaches

    @property
    def band_width(self) -> int:
        return (self.out_w - 1) * self.stride_w + (self.kernel_w - 1) * self.dilation_w + 1

    def band_height(self, rows: int) -> int:
        """Input rows that `rows` output rows need."""
        return (rows - 1) * self.stride_h + (self.kernel_h - 1) * self.dilation_h + 1

    @property
    def units(self) -> int:
        return self.batch * -(-self.out_h // self.band) * -(-self.out_c // self.columns)

    def params(self) -> Mapping[str, int]:
        """By field name of the params structs."""
        names = self.__dataclass_fields__
        return {name: getattr(self, name) for name in names if name != "batch"}


def conv_shape(node: Node, in_c: int, group: int = 0) -> ConvShape:
    """The geometry of group `group` of a CONV_2D node whose filters have `in_c` input channels.

    A hybrid node keeps its images apart: each is quantised by itself.
    """
    batch, in_h, in_w, channels = node.input(0).shape
    filters, kernel_h, kernel_w, _ = node.input(1).shape
    _, out_h, out_w, _ = node.outputs[0].shape
    stride_h, stride_w = int(attr(node, "stride_h", 1)), int(attr(node, "stride_w", 1))
    dilation_h, dilation_w = int(attr(node, "dilation_h_factor", 1)), int(attr(node, "dilation_w_factor", 1))
    top, left = padding(node, (in_h, in_w), (out_h, out_w), (kernel_h, kernel_w))
    own = filters // (channels // in_c)
    shape = ConvShape(
        batch, in_h, in_w, in_c, channels, group * in_c, out_h, out_w, own, filters, group * own,
        kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, top, left,
    )  # fmt: skip
    hybrid = node.input(0).dtype is DType.FLOAT32 and node.input(1).dtype is not DType.FLOAT32
    return flatten(shape) if shape.pointwise and not hybrid else shape


def padding(
    node: Node, size: tuple[int, int], out: tuple[int, int], kernel: tuple[int, int]
) -> tuple[int, int]:
    """(top, left) of a node with strides and dilations (ComputePadding)."""
    kind = attr(node, "padding", "SAME")
    if kind == "EXPLICIT":
        top, _, left, _ = node.attrs["explicit_padding"]
        return int(top), int(left)
    if kind == "VALID":
        return 0, 0
    strides = (int(attr(node, "stride_h", 1)), int(attr(node, "stride_w", 1)))
    dilations = (int(attr(node, "dilation_h_factor", 1)), int(attr(node, "dilation_w_factor", 1)))
    spare = [
        (out[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size[i] for i in (0, 1)
    ]  # fmt: skip
    return max(0, spare[0] // 2), max(0, spare[1] // 2)


def flatten(shape: ConvShape) -> ConvShape:
    """A pointwise convolution with all pixels in one column, so that bands can be cut anywhere."""
    pixels = shape.batch * shape.in_h * shape.in_w
    return replace(shape, batch=1, in_h=pixels, in_w=1, out_h=pixels, out_w=1)


def with_segments(shape: ConvShape, way: str) -> ConvShape:
    """`way`: "im2col" gathers each window in one run; "indirect" reads runs of taps through offsets."""
    if way == "im2col" or shape.kernel_h * shape.kernel_w == 1:
        return replace(shape, segments=1)
    rows = shape.dilation_w == 1 and shape.in_pitch == shape.in_c
    return replace(shape, segments=shape.kernel_h if rows else shape.kernel_h * shape.kernel_w)


def with_units(shape: ConvShape, row: KernelRow, element: int, threads: int) -> ConvShape:
    """Bands that keep the copied activations in L1; more, or blocks of channels, where threads starve."""
    row_bytes = element * (
        shape.out_w * shape.depth if shape.segments == 1 else shape.band_width * shape.in_c * shape.stride_h
    )
    band = max(1, min(shape.out_h, L1_BAND // row_bytes))
    if shape.out_w < row.mr:
        band = min(shape.out_h, max(band, -(-4 * row.mr // shape.out_w)))
    bands = -(-shape.out_h // band)
    columns = shape.out_c
    if threads > 1 and shape.batch * bands < 2 * threads:
        bands, columns = _split(shape, row, threads, bands)
    return replace(shape, band=-(-shape.out_h // bands), columns=columns)


def _split(shape: ConvShape, row: KernelRow, threads: int, bands: int) -> tuple[int, int]:
    """(bands, columns), about 2 units a thread: more bands while they hold 4 tiles, then channel blocks."""
    least = max(1, -(-4 * row.mr // shape.out_w))
    bands = max(bands, min(2 * threads, shape.out_h // least))
    blocks = -(-shape.out_c // row.nr)
    parts = min(blocks, -(-2 * threads // (shape.batch * bands)))
    return bands, min(shape.out_c, -(-blocks // parts) * row.nr)


def copied(shape: ConvShape) -> int:
    """Elements of one unit's copy of the activations."""
    if shape.segments == 1:
        return shape.band * shape.out_w * shape.depth
    return shape.band_height(shape.band) * shape.band_width * shape.in_c


def scratch_s8(shape: ConvShape, row: KernelRow) -> int:
    """Bytes per thread of an int8 row: the band with its tables, or one window where it takes one pixel
    (armv7e-m: two as int16, and one)."""
    if row.mr == 1:
        return 5 * up(shape.depth, 4) if row.arch & ARCHES["dsp"] else shape.depth
    pixels = shape.band * shape.out_w
    tables = up(4 * shape.segments, 64) + 2 * up(4 * pixels, 64)
    sums = 3072 if row.mr > 8 else 1536
    return sums + tables + up(copied_width(row) * copied(shape), 64) + 64


def copied_width(row: KernelRow) -> int:
    """Bytes of one copied int8 activation: rows that take single or pairs of depth widen it."""
    return 2 if row.kr <= 2 else 1


def scratch_fc_s8(rows: int, depth: int, row: KernelRow) -> int:
    """Bytes per thread of fc_s8: the rows with their tables."""
    if row.mr == 1:
        return 0
    return 1536 + 64 + 2 * up(4 * rows, 64) + rows * up(copied_width(row) * depth, 64) + 64


def scratch_f32(shape: ConvShape, row: KernelRow) -> int:
    """Bytes per thread of a float row. Windows that stay inside the image are read in place."""
    if row.mr == 1:
        return 0
    in_place = shape.inside and (shape.segments > 1 or shape.kernel_h * shape.kernel_w == 1)
    return up(4 * shape.segments, 64) + (0 if in_place else 4 * copied(shape))


def fits_winograd(shape: ConvShape) -> bool:
    """A 3x3 window of stride 1 over all channels."""
    s = shape
    window = (s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.dilation_h, s.dilation_w)
    return window == (3, 3, 1, 1, 1, 1) and s.in_pitch == s.in_c and s.out_pitch == s.out_c


def winograd_band(shape: ConvShape, side: int, threads: int = 1) -> tuple[int, int]:
    """(rows of tiles, tiles) of a unit: as many as keep its transforms in L2."""
    across, down = -(-shape.out_w // side), -(-shape.out_h // side)
    each = 4 * (side + 2) ** 2 * across * (shape.in_c + up(shape.out_c, 16))
    band = max(1, min(down, WINOGRAD_BYTES // each))
    if threads > 1:
        band = min(band, max(1, -(-shape.batch * down // (2 * threads))))
    band = -(-down // -(-down // band))
    return band, band * across


def winograd_scratch(shape: ConvShape, side: int, threads: int = 1) -> int:
    """Bytes per thread: transformed inputs, then products."""
    _, tiles = winograd_band(shape, side, threads)
    positions = (side + 2) ** 2
    return 4 * (up(positions * tiles * shape.in_c, 16) + positions * tiles * up(shape.out_c, 16))
