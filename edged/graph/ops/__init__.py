"""The op table: op name -> attributes, shape inference, reference semantics in NumPy (bit-exact for
integers).

One small function per op, in a file per family. The table is joined on first use, so that reading a graph
does not import every family.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from edged.graph.ops.spec import OpSpec

FAMILIES: tuple[str, ...] = (
    "detection",
    "signal",
    "filter_bank",
    "framing",
    "control",
    "resize",
    "space",
    "gather",
    "slice",
    "move",
    "conv",
    "transpose_conv",
    "fully_connected",
    "matmul",
    "pool",
    "svdf",
    "rnn",
    "lstm",
    "conv_3d",
    "unpool",
    "embedding_sparse",
    "unary",
    "activations",
    "arithmetic",
    "binary",
    "compare",
    "logical",
    "softmax",
    "normalise",
    "reduce",
    "scan",
    "convert",
    "stablehlo",
)


@cache
def table() -> dict[str, OpSpec]:
    """Every operator that has a meaning here, by `Node.kind`."""
    joined: dict[str, OpSpec] = {}
    for family in FAMILIES:
        for spec in import_module(f"{__name__}.{family}").OPS:
            if spec.name in joined:
                raise AssertionError(f"op {spec.name} is defined twice; the second is in {family}")
            joined[spec.name] = spec
    return joined
