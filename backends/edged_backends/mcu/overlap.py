"""How far a layer's output may reach into its own input.

Convolutions, depthwise ones and pools make their output row by row, and are through with the first rows of
the input by then. So an output that begins some bytes below its input may take over the place of what has
been read: a depthwise layer of stride 1 needs two rows besides its input, not all of it again. (Blacker,
Bridges and Hadfield, "Diagonal Memory Optimisation for Machine Learning on Micro-controllers", arXiv
2010.01668; TinyEngine does it for depthwise layers.)
"""

from __future__ import annotations

from collections.abc import Mapping

from edged_backends.program import KernelStep

_UNIT = 0
AT_ONCE: Mapping[str, int] = {
    "conv_s8_1x1_scalar": 1, "conv_s8_2x2_dsp": 2, "conv_s8_1x4_mve": 1,
    "conv_s16_scalar": 1, "conv_f32_1x1_scalar": _UNIT,
    "dw_s8_scalar": 1, "dw_s8_4c_dsp": 1, "dw_s8_4c_mve": 1, "dw_s16_scalar": 1,
    "dw_f32_scalar": 1, "dw_hybrid_scalar": 1,
    "max_pool_s8_scalar": 1, "max_pool_s16_scalar": 1, "max_pool_f32_scalar": 1, "l2_pool_f32_scalar": 1,
    "average_pool_s8_scalar": 1, "average_pool_s16_scalar": 1, "average_pool_f32_scalar": 1,
}  # fmt: skip
"""Kernels that make output rows from the first to the last, and never read an input row again that only
earlier output rows needed. The number: of how many neighbouring pixels they may still read inputs when they
write the last of these (_UNIT: of all those of a unit)."""


def distance(step: KernelStep) -> int | None:
    """The least number of bytes that the first operand (the output) of a step must begin below the second
    (its input), where both are whole values. None where the kernel promises nothing."""
    at_once = AT_ONCE.get(step.kernel.name)
    if at_once is None or len(step.calls) > 1:
        return None
    made, given = step.operands[0], step.operands[1]
    shape = {name: value for name, value in step.params.items() if isinstance(value, int)}
    columns, out_c = shape.get("columns", 1), shape.get("out_c", 1)
    if made is None or given is None or columns < out_c:
        return None
    band = shape.get("band", 1)
    images = step.units // -(-shape["out_h"] // band)
    if images == 0:
        return None
    ahead = band if at_once == _UNIT else -(-at_once // shape["out_w"])
    out_row, in_row = made.nbytes // (images * shape["out_h"]), given.nbytes // (images * shape["in_h"])
    return least(shape, images, out_row, in_row, ahead)


def least(shape: Mapping[str, int], images: int, out_row: int, in_row: int, ahead: int = 1) -> int:
    """The distance for rows of `out_row` and `in_row` bytes. Output row y reads input rows from
    y * stride_h - pad_top on; when it is written, those of row y - ahead + 1 may still be read."""
    rows = images * shape["out_h"]
    most = 0
    for row in range(rows):
        image, y = divmod(max(row - ahead + 1, 0), shape["out_h"])
        first = image * shape["in_h"] + min(max(y * shape["stride_h"] - shape["pad_top"], 0), shape["in_h"])
        most = max(most, (row + 1) * out_row - first * in_row)
    return most
