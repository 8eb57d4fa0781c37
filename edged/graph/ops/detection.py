"""TFLite_Detection_PostProcess: boxes decoded from anchors, then non-maximum suppression, fast or per class.

Source: tensorflow/lite/kernels/detection_postprocess.cc. Options are a flexbuffer map; inputs are box
encodings, class predictions, anchors (float32, or uint8/int8 with a quantisation); outputs boxes, classes,
scores, count in float32.

LiteRT leaves places without a detection undefined, and the order of equal classes of a box; here they are 0,
and the lower class comes first, as in TFLite Micro. It refuses boxes that end before they begin (negative
anchors); here they overlap nothing. With several classes a box TFLite Micro writes to other places than
LiteRT, beyond the outputs' end: LiteRT is followed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edged.errors import ModelError, ShapeError
from edged.graph.flexbuffer import read_map
from edged.graph.model import Node, Shape, Tensor
from edged.graph.ops.move import operand
from edged.graph.ops.spec import Array, Arrays, OpSpec, Value

Shapes = Sequence[Shape | None]
F = np.float32


@dataclass(frozen=True)
class Options:
    """The op's options by the names in the file."""

    max_detections: int
    max_classes_per_detection: int
    detections_per_class: int
    use_regular_nms: bool
    nms_score_threshold: float
    nms_iou_threshold: float
    num_classes: int
    scales: tuple[float, float, float, float]


@lru_cache(maxsize=64)
def options(raw: bytes) -> Options:
    """Reads the flexbuffer. ModelError when it is none, or lacks an entry."""
    found = read_map(raw)
    try:
        return Options(
            int(found["max_detections"]),
            int(found["max_classes_per_detection"]),
            int(found.get("detections_per_class", 100)),
            bool(found.get("use_regular_nms", False)),
            float(found["nms_score_threshold"]),
            float(found["nms_iou_threshold"]),
            int(found["num_classes"]),
            (
                float(found["y_scale"]),
                float(found["x_scale"]),
                float(found["h_scale"]),
                float(found["w_scale"]),
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"TFLite_Detection_PostProcess: bad options: {error!r}") from None


def infer(node: Node, _shapes: Shapes, _value: Value) -> Shapes:
    found = options(node.options)
    count = found.max_detections * found.max_classes_per_detection
    return [(1, count, 4), (1, count), (1, count), (1,)][: len(node.outputs)]


def _real(tensor: Tensor, array: Array) -> Array:
    if array.dtype.kind == "f" or tensor.quantization is None:
        return array.astype(F)
    scale, zero = F(tensor.quantization.scale), F(tensor.quantization.zero_point)
    return ((array.astype(F) - zero) * scale).astype(F)


def decode(encodings: Array, anchors: Array, scales: Sequence[float]) -> Array:
    """(y, x, h, w) against anchors -> (ymin, xmin, ymax, xmax), float32; centres and halves in float64."""
    y, x, h, w = (float(F(s)) for s in scales)
    given, fixed = encodings.astype(np.float64), anchors.astype(np.float64)
    center_y = (given[:, 0] / y * fixed[:, 2] + fixed[:, 0]).astype(F)
    center_x = (given[:, 1] / x * fixed[:, 3] + fixed[:, 1]).astype(F)
    half_h = (0.5 * np.exp(given[:, 2] / h) * fixed[:, 2]).astype(F)
    half_w = (0.5 * np.exp(given[:, 3] / w) * fixed[:, 3]).astype(F)
    return np.stack([center_y - half_h, center_x - half_w, center_y + half_h, center_x + half_w], axis=1)


def _overlaps(boxes: Array, box: Array) -> Array:
    """Intersection over union of every box with one; 0 where an area is not positive."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    mine = (box[2] - box[0]) * (box[3] - box[1])
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    shared = np.maximum(high - low, F(0)).prod(axis=1, dtype=F)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = shared / (area + mine - shared)
    return np.where((area <= 0) | (mine <= 0), F(0), share)


def suppress(boxes: Array, scores: Array, most: int, found: Options) -> list[int]:
    """Single-class suppression: indices of kept boxes, best score first, equal scores in order."""
    kept = np.flatnonzero(scores >= F(found.nms_score_threshold))
    order = kept[np.argsort(-scores[kept], kind="stable")]
    chosen: list[int] = []
    alive = np.ones(len(order), bool)
    for position, index in enumerate(order):
        if len(chosen) >= min(most, len(order)):
            break
        if not alive[position]:
            continue
        chosen.append(int(index))
        later = slice(position + 1, None)
        alive[later] &= ~(_overlaps(boxes[order[later]], boxes[index]) > F(found.nms_iou_threshold))
    return chosen


Detection = tuple[int, int, np.float32]


def fast(boxes: Array, scores: Array, found: Options) -> dict[int, Detection]:
    """Suppression on each box's best score, then its best classes: (box, class, score) by place.

    A box has max_classes_per_detection places, also when there are fewer classes."""
    count = min(found.max_classes_per_detection, found.num_classes)
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    best = np.take_along_axis(scores, ranked[:, :1], axis=1)[:, 0]
    rows = suppress(boxes, best, found.max_detections, found)
    return {
        found.max_classes_per_detection * i + rank: (row, int(c), scores[row, c])
        for i, row in enumerate(rows)
        for rank, c in enumerate(ranked[row])
    }


def regular(boxes: Array, scores: Array, found: Options) -> dict[int, Detection]:
    """Suppression per class, then the best over all classes."""
    best: list[Detection] = []
    for c in range(found.num_classes):
        rows = suppress(boxes, scores[:, c], found.detections_per_class, found)
        best += [(row, c, scores[row, c]) for row in rows]
        best = sorted(best, key=lambda d: -d[2])[: found.max_detections]
    return dict(enumerate(best))


def detection_postprocess(node: Node, arrays: Arrays) -> Sequence[Array]:
    """float32 boxes (1, n, 4), classes (1, n), scores (1, n), number of detections (1,); zeros behind the
    last."""
    found = options(node.options)
    encodings, classes, anchors = (_real(node.input(i), operand(arrays, i)) for i in range(3))
    if encodings.ndim != 3 or encodings.shape[0] != 1 or anchors.shape != (encodings.shape[1], 4):
        raise ShapeError(
            f"{node.where}: box encodings {encodings.shape} and anchors {anchors.shape} do not fit"
        )
    boxes = decode(encodings[0, :, :4], anchors, found.scales)
    scores = classes[0, :, classes.shape[2] - found.num_classes :]
    kept = (regular if found.use_regular_nms else fast)(boxes, scores, found)
    count = found.max_detections * found.max_classes_per_detection
    out = [np.zeros((1, count, 4), F), np.zeros((1, count), F), np.zeros((1, count), F), np.zeros(1, F)]
    for place, (row, c, score) in kept.items():
        out[0][0, place], out[1][0, place], out[2][0, place] = boxes[row], c, score
    ranks = 1 if found.use_regular_nms else min(found.max_classes_per_detection, found.num_classes)
    out[3][0] = len(kept) // ranks  # boxes, not classes of boxes
    return out[: len(node.outputs)]


OPS: tuple[OpSpec, ...] = (
    OpSpec("custom:TFLite_Detection_PostProcess", infer, detection_postprocess, {}, (3, 3), (4, 4)),
)
