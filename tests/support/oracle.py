"""The oracles that reference semantics are compared with: LiteRT's own kernels, and TFLite Micro's.

Both run in process, on a model's bytes. LiteRT without delegates is the one that edged promises to agree with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

Array = np.ndarray[Any, np.dtype[Any]]


def litert(
    model_bytes: bytes, inputs: Sequence[Array], resolver: str = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
) -> list[Array]:
    """The outputs of one call, in the order of the main graph; `resolver` is a name of OpResolverType.

    An input of another shape than the model's resizes it. RuntimeError or ValueError with LiteRT's own words
    when it refuses the model.
    """
    return litert_calls(model_bytes, [inputs], resolver)[0]


def litert_calls(
    model_bytes: bytes,
    calls: Sequence[Sequence[Array]],
    resolver: str = "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
) -> list[list[Array]]:
    """The outputs of several calls of one interpreter, which keeps its variables between them."""
    lite = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed here")
    interpreter = lite.Interpreter(
        model_content=bytes(model_bytes),
        num_threads=1,
        experimental_op_resolver_type=lite.OpResolverType[resolver],
    )
    details = interpreter.get_input_details()
    for detail, array in zip(details, calls[0], strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    results = []
    for inputs in calls:
        for detail, array in zip(details, inputs, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        results.append([interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()])
    return results


def tflm(model_bytes: bytes, inputs: Sequence[Array], arena_bytes: int = 1 << 20) -> list[Array]:
    """The outputs of one call of TFLite Micro."""
    return tflm_calls(model_bytes, [inputs], arena_bytes)[0]


def tflm_calls(
    model_bytes: bytes, calls: Sequence[Sequence[Array]], arena_bytes: int = 1 << 20
) -> list[list[Array]]:
    """The outputs of several calls of one TFLite Micro interpreter."""
    micro = pytest.importorskip("tflite_micro", reason="TFLite Micro is not installed here")
    interpreter = micro.runtime.Interpreter.from_bytes(bytes(model_bytes), arena_size=arena_bytes)
    results = []
    for inputs in calls:
        for i, array in enumerate(inputs):
            interpreter.set_input(array, i)
        interpreter.invoke()
        results.append([interpreter.get_output(i) for i in range(_output_count(model_bytes))])
    return results


def _output_count(model_bytes: bytes) -> int:
    from edged.formats.tflite import read

    return len(read(memoryview(model_bytes)).main.outputs)
