"""Arrays into slots and back, and the words for what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edged_ipc.errors import BadInputError
from edged_ipc.messages import TensorSpec
from edged_ipc.tensors import Form, Outputs

FORM = Form(
    (TensorSpec("a", "float32", (1, 4), 16, 0), TensorSpec("b", "int8", (2, 3), 6, 64, (0.5,), (3,))),
    (TensorSpec("x", "float32", (1, 4), 16, 128), TensorSpec("y", "bfloat16", (2,), 4, 192)),
)
A, B = np.arange(4, dtype=np.float32).reshape(1, 4), np.arange(6, dtype=np.int8).reshape(2, 3)


@pytest.mark.parametrize(
    "inputs", [[A, B], (A, B), {"b": B, "a": A}, [[[0, 1, 2, 3]], [[0, 1, 2], [3, 4, 5]]], [A, B.T.copy().T]]
)
def test_fill(inputs: Any) -> None:
    memory = bytearray(256)
    ins, outs = FORM.views(memoryview(memory))
    FORM.fill(ins, inputs)
    assert memory[:16] == A.tobytes()
    assert memory[64:70] == B.tobytes()
    memory[128:144] = A.tobytes()
    np.testing.assert_array_equal(outs[0], A)
    with pytest.raises(ValueError, match="read-only"):
        outs[0][...] = 0


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (A, r"1 inputs were given, the model has 2 \(give a float32 \[1, 4\], b int8"),
        ([A], "1 inputs were given"),
        ({"a": A}, r"input 'b' is missing"),
        ({"a": A, "c": B}, r"no input 'c' in the model \(the model has a, b\)"),
        ([A.astype(np.float64), B], r"input 'a' is float32 \[1, 4\], float64 \[1, 4\] was given \(convert"),
        ([A, B.astype(np.float32)], r"input 'b' is int8 \[2, 3\], float32 .*quantise"),
        ([A[0], B], r"float32 \[4\] was given \(reshape it to \(1, 4\)\)"),
        ([np.zeros((1, 5), np.float32), B], r"input 'a' is float32 \[1, 4\], float32 \[1, 5\] was given$"),
        ([A, [[300] * 3] * 2], r"input 'b' cannot be made int8 of"),
        ([A, [["x"] * 3] * 2], r"input 'b' cannot be made int8 of"),
    ],
)
def test_misfits_are_named(inputs: Any, text: str) -> None:
    ins, _ = FORM.views(memoryview(bytearray(256)))
    with pytest.raises(BadInputError, match=text):
        FORM.fill(ins, inputs)


def test_dtypes_unknown_to_numpy_are_bytes() -> None:
    _, outs = FORM.views(memoryview(bytearray(256)))
    assert (outs[1].dtype, outs[1].shape) == (np.dtype(np.uint8), (4,))


def test_scalars_and_empty_models() -> None:
    form = Form((TensorSpec("s", "int32", (), 4, 0),), ())
    ins, _ = form.views(memoryview(bytearray(64)))
    form.fill(ins, 7)
    assert ins[0] == 7
    Form((), ()).fill([], [])


def test_outputs() -> None:
    outputs = Outputs({"x": 0, "y": 1}, [A, B], 3, 4, 5)
    assert outputs["y"] is outputs[1] is B
    assert list(outputs) == ["x", "y"]
    assert (outputs.version, outputs.queue_us, outputs.run_us) == (3, 4, 5)
    assert repr(outputs) == "Outputs(x: float32 [1, 4], y: int8 [2, 3])"
    with pytest.raises(ValueError, match="2 outputs"):
        np.asarray(outputs)
    np.testing.assert_array_equal(np.asarray(Outputs({"x": 0}, [A], 0, 0, 0)), A)
