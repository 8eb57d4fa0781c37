"""Who says what a model's outputs are: LiteRT, TFLite Micro, or LiteRT on the same graph in builtin operators.

LiteRT's own kernels without delegates come first. Where its bytes differ and TFLite Micro runs the file, TFLite Micro decides
(LiteRT rounds halves up in some x86 kernels, TFLite Micro away from zero). Where neither settles the whole network, each node is
compared alone, on the inputs that it has in our run: one LSB there is that same rounding. A float network may lie between
LiteRT's two sets of kernels.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.verdicts import Calls, Gap, gap
from edged.formats import tflite
from edged.graph.arrays import to_bytes
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.graph.shapes import resolve
from support.oracle import litert_calls, tflm_calls

Array = np.ndarray[Any, np.dtype[Any]]
ARENA = 8 << 20

MICRO_ONLY = {
    "tflm/keyword_scrambled_8bit.tflite": "LiteRT corrupts its heap on its SVDF states",
    "tflm/person_detect_int8.tflite": "LiteRT refuses its quantized_dimension",
    "tflm/audio_preprocessor_float.tflite": "TFLite Micro's own custom ops",
    "tflm/audio_preprocessor_int8.tflite": "TFLite Micro's own custom ops",
}
"""Files that LiteRT does not run, or not safely."""

REFUSED = {
    "edgetpu-custom-op": "compiled for the Edge TPU: only that device knows what it computes",
    "ethos-u": "compiled for the Ethos-U: only that device knows what it computes",
    "LiteRtMaxUnpooling2D": "a custom op of LiteRT's that its Python package leaves out: nobody to compare with "
    "(tests/edged/ops/test_unpool.py checks its definition)",
    "Normalize": "a custom op without a definition",
    "fake-op-double": "a custom op without a definition",
}
"""Custom ops that no oracle here runs, and why."""


def transposed(node: Node) -> list[Node]:
    """MediaPipe's Convolution2DTransposeBias as TRANSPOSE_CONV and ADD."""
    padding, stride_w, stride_h = struct.unpack_from("<3i", node.options)
    result = node.outputs[0]
    size = np.array(result.shape, np.int32)
    wanted = Tensor(
        f"{result.name}/size", DType.INT32, size.shape, data=memoryview(to_bytes(DType.INT32, size))
    )
    sums = Tensor(f"{result.name}/sums", result.dtype, result.shape)
    attrs = {"padding": {1: "SAME", 2: "VALID"}[padding], "stride_w": stride_w, "stride_h": stride_h}
    return [
        Node("transpose_conv", (wanted, node.input(1), node.input(0)), (sums,), attrs),
        Node("add", (sums, node.input(2)), (result,), {"fused_activation_function": "NONE"}),
    ]


BUILTINS: dict[str, Callable[[Node], list[Node]]] = {"custom:Convolution2DTransposeBias": transposed}
"""Custom ops that builtin ones can say as well."""


def in_builtins(model: Model) -> Model | None:
    """The model with such custom ops replaced; None when it has none."""
    if not any(n.kind in BUILTINS for n in model.main.nodes):
        return None
    whole = resolve(model)
    nodes = [made for n in whole.main.nodes for made in (BUILTINS[n.kind](n) if n.kind in BUILTINS else [n])]
    return replace(whole, graphs=(whole.main.with_nodes(nodes), *whole.graphs[1:]))


def between(data: bytes, calls: Calls, ours: Calls) -> bool:
    """True when LiteRT's plain kernels and XNNPACK's are as far from each other as ours are from the nearer: what a deep float
    network makes of the order that sums are taken in."""
    plain, other = (litert_calls(data, calls, r) for r in ("BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN"))
    return min(gap(ours, plain).share, gap(ours, other).share) <= gap(plain, other).share <= 1e-3


def micro(data: bytes, calls: Calls) -> list[list[Array]]:
    return tflm_calls(data, calls, arena_bytes=ARENA)


def node_by_node(model: Model, inputs: Sequence[Array]) -> Gap:
    """The largest difference of any single node from LiteRT's, each on the inputs that it has in our run."""
    evaluation, worst = Evaluation(model), Gap()
    values: dict[Tensor, Array] = dict(zip(model.main.inputs, inputs, strict=True))

    def value(tensor: Tensor | None) -> Array | None:
        return (
            None if tensor is None else values[tensor] if tensor in values else evaluation._value({}, tensor)
        )

    for node in model.main.nodes:
        results = evaluation.step(node, [value(t) for t in node.inputs])
        values.update(zip(node.outputs, results, strict=True))
        live = tuple(dict.fromkeys(t for t in node.inputs if t is not None and not t.constant))
        if any(t.variable for t in live):
            continue
        alone = Model((Graph("node", live, node.outputs, (node,)),))
        worst |= gap([results], litert_calls(tflite.write(alone), [[values[t] for t in live]]))
    return worst
