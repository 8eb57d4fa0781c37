"""Detection post-processing through its kernel, against the reference and LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
from flatbuffers import flexbuffers

from edged.graph.model import Model
from support.build import constant, one_op, quant
from support.lowered import agree

OPTIONS = {
    "max_detections": 7, "max_classes_per_detection": 1, "detections_per_class": 5, "nms_score_threshold": 0.2,
    "nms_iou_threshold": 0.5, "num_classes": 4, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0,
}  # fmt: skip


def detection(rng: np.random.Generator, dtype: str, boxes: int, **own: object) -> Model:
    found = {**OPTIONS, **own}
    raw = bytes(flexbuffers.Dumps(found))
    count = int(found["max_detections"]) * int(found["max_classes_per_detection"])  # type: ignore[call-overload]
    centres = rng.uniform(0, 1, (boxes, 2))
    anchors = np.concatenate([centres, rng.uniform(0.1, 0.4, (boxes, 2))], 1).astype(np.float32)
    q = {"e": quant(0.05, 120), "s": quant(1 / 256, 0)} if dtype == "uint8" else {"e": None, "s": None}
    shapes = [(dtype, (1, boxes, 4), q["e"]), (dtype, (1, boxes, 5), q["s"]), constant("float32", anchors)]
    outs = [("float32", s) for s in ((1, count, 4), (1, count), (1, count), (1,))]
    return one_op("custom:TFLite_Detection_PostProcess", shapes, outs, options=raw)


@pytest.mark.parametrize("oracle", ["reference", "litert"])
@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_floats(oracle: str, regular: bool, classes: int) -> None:
    if regular and classes > 1:
        return
    for seed in range(6):
        rng = np.random.default_rng(seed)
        boxes = int(rng.integers(1, 60))
        model = detection(rng, "float32", boxes, use_regular_nms=regular, max_classes_per_detection=classes)
        given = [
            rng.normal(0, 2, (1, boxes, 4)).astype(np.float32),
            rng.uniform(0, 1, (1, boxes, 5)).astype(np.float32),
        ]
        agree(model, given, oracle=oracle, masks=("",))


def test_quantised_inputs_with_equal_scores() -> None:
    rng = np.random.default_rng(3)
    model = detection(rng, "uint8", 50)
    given = [
        rng.integers(0, 256, (1, 50, 4)).astype(np.uint8),
        (rng.integers(0, 4, (1, 50, 5)) * 60).astype(np.uint8),
    ]
    agree(model, given, masks=("",))


@pytest.mark.parametrize("classes", [1, 3, 6])
def test_more_places_than_classes(classes: int) -> None:
    """A box has max_classes_per_detection places, also where the model has fewer classes."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = detection(rng, "float32", 20, num_classes=2, max_classes_per_detection=classes)
        given = [
            rng.normal(0, 2, (1, 20, 4)).astype(np.float32),
            rng.uniform(0, 1, (1, 20, 5)).astype(np.float32),
        ]
        agree(model, given, masks=("",))
