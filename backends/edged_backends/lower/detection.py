"""TFLite_Detection_PostProcess: quantised inputs are dequantised first, the rest is one kernel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.detection import options
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref

_DEQUANTISE = {DType.INT8: "dequantise_s8", DType.INT16: "dequantise_s16"}


def _real(lowering: Lowering, tensor: Tensor) -> Ref | None:
    """Where the tensor's float32 value is; None for a type that has none."""
    quant = lowering.internal(tensor)
    if quant.dtype is DType.FLOAT32:
        return lowering.ref(tensor)
    op = _DEQUANTISE.get(quant.dtype)
    if op is None or len(quant.scales) != 1:
        return None
    value = lowering.value(tensor)
    if value is not None:
        real = (value.astype(np.float32) - np.float32(quant.zero_point)) * np.float32(quant.scale)
        return lowering.const(real.astype(np.float32), ("real", tensor))
    made = lowering.temp(4 * tensor.elements)
    params = {"scale": quant.scale, "zero": quant.zero_point}
    lowering.step(
        op, params, [made, lowering.ref(tensor)], units=tensor.elements, why=f"{tensor.name} as floats"
    )
    return made


def lower_detection(lowering: Lowering, node: Node) -> str | None:
    encodings, scores, anchors = (node.input(i) for i in range(3))
    if len(node.outputs) != 4 or len(encodings.shape) != 3 or encodings.shape[0] != 1:
        return "detection of a batch, or without its four outputs"
    found = options(node.options)
    count = found.max_detections * found.max_classes_per_detection
    if [t.elements for t in node.outputs] != [4 * count, count, count, 1]:
        return "its outputs have no fixed shape"
    boxes = encodings.shape[1]
    if encodings.shape[2] < 4 or found.num_classes > scores.shape[2] or anchors.shape != (boxes, 4):
        return f"encodings {encodings.shape}, scores {scores.shape} and anchors {anchors.shape} do not fit"
    refs = [_real(lowering, t) for t in (encodings, scores, anchors)]
    if any(ref is None for ref in refs):
        return f"detection of {encodings.dtype} and {scores.dtype}"
    boxes, most = encodings.shape[1], found.max_detections
    y, x, h, w = found.scales
    params: dict[str, int | float] = {
        "boxes": boxes, "pitch": encodings.shape[2], "columns": scores.shape[2],
        "num_classes": found.num_classes,
        "max_detections": most, "max_classes": found.max_classes_per_detection,
        "per_class": found.detections_per_class,
        "regular": int(found.use_regular_nms), "score_threshold": found.nms_score_threshold,
        "iou_threshold": found.nms_iou_threshold, "y_scale": y, "x_scale": x, "h_scale": h, "w_scale": w,
    }  # fmt: skip
    outputs = [lowering.ref(t) for t in node.outputs]
    lowering.step(
        "detection_f32", params, [*outputs, *refs], units=1, scratch=28 * boxes + 12 * most, writes=4
    )
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "custom:TFLite_Detection_PostProcess": lower_detection
}
