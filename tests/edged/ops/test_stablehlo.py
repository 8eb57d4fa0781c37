"""StableHLO's elementwise operators and composites against LiteRT."""

from __future__ import annotations

import numpy as np
import pytest
from flatbuffers import flexbuffers

from edged.errors import ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation
from edged.graph.model import Graph, Model, Node
from support.agreement import check, random_inputs
from support.build import one_op, tensor
from support.draw import ROUNDS, agree, shape

CASES = [
    *((f"stablehlo_{op}", d) for op in ("add", "multiply", "maximum", "minimum") for d in ("float32", "int8", "int32", "int64")),
    ("stablehlo_and", "int32"), ("stablehlo_and", "bool"), ("stablehlo_shift_left", "int8"), ("stablehlo_shift_left", "int32"),
]  # fmt: skip


@ROUNDS
@pytest.mark.parametrize(("op", "dtype"), CASES)
def test_elementwise(op: str, dtype: str, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for _ in range(rounds):
        dims = shape(rng)
        model = one_op(op, [(dtype, dims), (dtype, dims)], [(dtype, dims)])
        x, y = random_inputs(rng, model)
        agree(model, [x, np.abs(y) % 8 if op == "stablehlo_shift_left" else y])


def test_composite_is_its_decomposition() -> None:
    """RMS normalisation, as converters wrap it."""
    inner = [tensor("float32", (2, 3), name=n) for n in ("x", "y")]
    outer = [tensor("float32", (2, 3), name=n) for n in ("a", "b")]
    attrs = {
        "name": "odml.rms_norm",
        "decomposition_subgraph_index": 1,
        "composite_attributes": bytes(flexbuffers.Dumps({})),
    }
    main = Graph(
        "main", (outer[0],), (outer[1],), (Node("stablehlo_composite", (outer[0],), (outer[1],), attrs),)
    )
    decomposition = Graph("rms", (inner[0],), (inner[1],), (Node("square", (inner[0],), (inner[1],)),))
    model = Model((main, decomposition))
    check(model, [random_inputs(np.random.default_rng(2), model)])


def test_shapes_must_be_equal() -> None:
    model = one_op("stablehlo_add", [("float32", (2, 3)), ("float32", (3,))], [("float32", (2, 3))])
    with pytest.raises(ShapeError, match="does not broadcast"):
        Evaluation(model).run([np.zeros((2, 3), np.float32), np.zeros(3, np.float32)])


def test_floats_have_no_and() -> None:
    model = one_op("stablehlo_and", [("float32", (2,)), ("float32", (2,))], [("float32", (2,))])
    with pytest.raises(UnsupportedError, match="no meaning for float32"):
        Evaluation(model).run([np.zeros(2, np.float32)] * 2)
