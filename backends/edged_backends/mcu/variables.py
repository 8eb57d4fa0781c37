"""The first values of a program's variables: what a generated `init` writes.

Variables of streaming ops start with their zero point; resource variables with what the model's own init
graph (CALL_ONCE) assigns to them, which is run here, once and for all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edged.graph.arrays import to_bytes
from edged.graph.evaluate import Evaluation, initial
from edged.graph.model import Model
from edged_backends.lowering import Lowering
from edged_backends.program import Program

Bytes = NDArray[np.uint8]


def first_values(program: Program, model: Model) -> Iterator[tuple[int, Bytes]]:
    """(offset in the state, bytes) of every variable that does not start with zeros."""
    for tensor, ref in program.variables.items():
        raw = np.frombuffer(to_bytes(tensor.dtype, initial(tensor)), np.uint8)
        raw = raw ^ np.uint8(0x80) if Lowering.is_shifted(tensor) else raw
        if raw.any():
            yield ref.value.index + ref.offset, raw
    evaluation = Evaluation(model)
    for node in program.initial:
        evaluation.step(node, ())
    for name, ref in program.resources.items():
        value = evaluation.resources.get(name)
        if value is not None and value.nbytes == ref.nbytes and np.any(value):
            yield ref.value.index + ref.offset, np.frombuffer(value.tobytes(), np.uint8)


def statement(at: int, raw: Bytes) -> str:
    """C that writes the bytes to `s + at`."""
    if (raw == raw[0]).all():
        return f"    memset(s + {at}, {raw[0]}, {raw.size}u);"
    words = ", ".join(map(str, raw.tolist()))
    lines = (
        "    {",
        f"        static const uint8_t first[{raw.size}] = {{{words}}};",
        f"        memcpy(s + {at}, first, {raw.size}u);",
        "    }",
    )
    return "\n".join(lines)
