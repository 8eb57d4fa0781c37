"""TFLite_Detection_PostProcess against LiteRT: fast and per class, floats and quantised boxes, ties and empty results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edged.errors import ModelError, ShapeError
from edged.formats.tflite import write
from edged.graph.evaluate import Evaluation, evaluate_node
from edged.graph.model import Model
from edged.graph.ops import table
from edged.graph.ops.detection import options as options_of
from support.agreement import COUNTS
from support.build import constant, one_op, quant, random_array, tensor
from support.flexmaps import packed
from support.oracle import litert

Rng = np.random.Generator


def options(rng: Rng, classes: int, single: bool) -> dict[str, int | float | bool]:
    scales = rng.uniform(1, 10, 4).astype(np.float32)
    return {
        "max_detections": int(rng.integers(1, 12)), "max_classes_per_detection": 1 if single else int(rng.integers(1, 4)),
        "detections_per_class": int(rng.integers(1, 20)), "num_classes": classes,
        "nms_score_threshold": float(np.float32(rng.uniform(0, 0.9))),
        "nms_iou_threshold": float(np.float32(rng.uniform(0.05, 1))),
        **{f"{n}_scale": float(v) for n, v in zip("yxhw", scales, strict=True)},
    }  # fmt: skip


def detection(
    rng: Rng, regular: bool, dtype: str = "float32", *, background: bool = True, single: bool = False
) -> Model:
    boxes, classes = int(rng.integers(1, 40)), int(rng.integers(1, 5))
    found = options(rng, classes, regular or single)
    anchors = np.concatenate(
        [rng.uniform(0, 1, (boxes, 2)), rng.uniform(0.05, 0.6, (boxes, 2))], axis=1
    ).astype(np.float32)
    quantised = dtype != "float32"
    parts = [quant(0.05, 10), quant(0.004, 0), quant(0.005, 0)] if quantised else [None] * 3
    if quantised:
        stored = np.round(anchors / 0.005).clip(0, 127).astype(dtype)
        last = constant(dtype, stored, parts[2])
    else:
        last = constant("float32", anchors)
    count = int(found["max_detections"]) * int(found["max_classes_per_detection"])
    outputs = [tensor("float32", s) for s in ((1, count, 4), (1, count), (1, count), (1,))]
    inputs = [
        tensor(dtype, (1, boxes, 4), parts[0]),
        tensor(dtype, (1, boxes, classes + background), parts[1]),
        last,
    ]
    return one_op(
        "custom:TFLite_Detection_PostProcess",
        inputs,
        outputs,
        options=packed({**found, "use_regular_nms": regular}),
    )


def scored(rng: Rng, model: Model, *, ties: bool) -> list[np.ndarray]:
    """Encodings around 0; scores 0 ... 1, in coarse steps when there are to be ties."""
    encodings, scores = model.main.inputs
    if not encodings.dtype.is_float:
        return [random_array(rng, t.dtype, t.shape) for t in (encodings, scores)]
    values = rng.uniform(0, 1, scores.shape)
    return [
        rng.normal(size=encodings.shape).astype(np.float32),
        (np.round(values * 4) / 4 if ties else values).astype(np.float32),
    ]


def shown(results: list[np.ndarray], regular: bool, ranks: int, most: int) -> list[np.ndarray]:
    """The results without the places that LiteRT leaves undefined."""
    boxes, classes, scores, count = results
    found = int(count[0])
    places = [i * (1 if regular else most) + r for i in range(found) for r in range(1 if regular else ranks)]
    return [boxes[:, places], classes[:, places], scores[:, places], count]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("regular", [False, True])
@pytest.mark.parametrize("count", COUNTS)
def test_equals_litert(regular: bool, dtype: str, ties: bool, count: int) -> None:
    detections = 0
    for seed in range(count * 4):
        rng = np.random.default_rng(seed)
        model = detection(
            rng, regular, dtype, background=bool(rng.integers(0, 2)), single=ties or dtype == "uint8"
        )
        found = options_of(model.main.nodes[0].options)
        limits = (
            regular,
            min(found.max_classes_per_detection, found.num_classes),
            found.max_classes_per_detection,
        )
        inputs = scored(rng, model, ties=ties)
        ours = shown(list(Evaluation(model).run(inputs).values()), *limits)
        theirs = shown(litert(write(model), inputs), *limits)
        detections += int(theirs[3][0])
        for mine, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, wanted, 1e-5, 1e-6, err_msg=f"seed {seed}")
    assert detections > count


def test_places_without_a_detection_are_zero() -> None:
    rng = np.random.default_rng(1)
    model = detection(rng, False)
    nothing = [np.zeros(t.shape, np.float32) for t in model.main.inputs]
    low = options_of(model.main.nodes[0].options).nms_score_threshold
    assert low > 0
    assert all(not a.any() for a in Evaluation(model).run(nothing).values())


def test_inferred_shapes_are_the_results() -> None:
    model = detection(np.random.default_rng(2), True)
    node = model.main.nodes[0]
    shapes = table()[node.kind].infer(node, [t.shape for t in node.inputs if t], lambda _i: None)
    results = Evaluation(model).run(scored(np.random.default_rng(2), model, ties=False)).values()
    assert list(shapes) == [a.shape for a in results]


def test_mistakes_are_named() -> None:
    model = detection(np.random.default_rng(3), False)
    node = model.main.nodes[0]
    for raw, message in ((b"", "too short for a flexbuffer"), (packed({"num_classes": 3}), "bad options")):
        with pytest.raises(ModelError, match=message):
            evaluate_node(
                replace(node, options=raw), [np.zeros(t.shape, np.float32) for t in node.inputs if t]
            )
    boxes = np.zeros((1, 3, 4), np.float32)
    with pytest.raises(ShapeError, match="do not fit"):
        evaluate_node(node, [boxes, np.zeros((1, 3, 9), np.float32), np.zeros((2, 4), np.float32)])
