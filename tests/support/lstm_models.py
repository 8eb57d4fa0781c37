"""Random LSTM layers with every optional part: floats, hybrid, integers, both directions, the basic kernel."""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.graph.model import Model, Tensor
from support.build import constant, one_op, quant, random_array, random_weights, tensor

Rng = np.random.Generator
PARTS = ("", "cifg", "peephole", "projection", "norm", "cifg peephole projection norm")
SEQUENCE, STEP = "unidirectional_sequence_lstm", "lstm"


def _float_vector(rng: Rng, n: int, hybrid: bool = False) -> Tensor:
    if hybrid:
        return constant("int8", random_weights(rng, "int8", (n,)), quant(0.01))
    return constant("float32", rng.normal(size=n) * 0.5)


def _matrix(rng: Rng, integer: bool, shape: tuple[int, ...]) -> Tensor:
    if integer:
        return constant("int8", random_weights(rng, "int8", shape), quant(rng.uniform(0.002, 0.01)))
    return constant("float32", rng.normal(size=shape) * 0.5)


def _attrs(rng: Rng, parts: str, asymmetric: bool = False) -> dict[str, Any]:
    return {
        "fused_activation_function": "TANH",
        "cell_clip": float(rng.choice([0, 0.5, 10])),
        "proj_clip": float(rng.choice([0, 0.3])) if "projection" in parts else 0.0,
        "asymmetric_quantize_inputs": asymmetric,
    }


def _sizes(rng: Rng, parts: str) -> tuple[int, int, int, int, int]:
    """Batch, time, depth, cells, outputs."""
    batch, time, depth, cells = (
        int(rng.integers(low, high)) for low, high in ((1, 4), (1, 6), (1, 12), (2, 9))
    )
    return batch, time, depth, cells, int(rng.integers(1, 9)) if "projection" in parts else cells


def _lead(rng: Rng, op: str, batch: int, time: int, attrs: dict[str, Any]) -> tuple[int, ...]:
    """The dimensions before the last; sets time_major."""
    if op == STEP:
        return (batch,)
    attrs["time_major"] = bool(rng.random() < 0.5)
    return (time, batch) if attrs["time_major"] else (batch, time)


def float_model(
    rng: Rng, parts: str, op: str = SEQUENCE, hybrid: bool = False, asymmetric: bool = False
) -> Model:
    batch, time, depth, cells, outputs = _sizes(rng, parts)
    attrs = _attrs(rng, parts, asymmetric)
    lead = _lead(rng, op, batch, time, attrs)
    inputs: list[Any] = [("float32", (*lead, depth)), *[None] * 23]
    for gate in range(int("cifg" in parts), 4):
        inputs[1 + gate] = _matrix(rng, hybrid, (cells, depth))
        inputs[5 + gate] = _matrix(rng, hybrid, (cells, outputs))
        inputs[12 + gate] = _float_vector(rng, cells)
        if "peephole" in parts and gate != 2:
            inputs[9 + min(gate, 2)] = _float_vector(rng, cells, hybrid)
        if "norm" in parts:
            inputs[20 + gate] = _float_vector(rng, cells)
    if "projection" in parts:
        inputs[16:18] = _matrix(rng, hybrid, (outputs, cells)), _float_vector(rng, outputs)
    inputs[18] = tensor("float32", (batch, outputs), variable=True)
    inputs[19] = tensor("float32", (batch, cells), variable=True)
    given = inputs if "norm" in parts else inputs[:20]
    return one_op(op, given, [("float32", (*lead, outputs))], attrs)


def integer_model(rng: Rng, parts: str, op: str = SEQUENCE, kind: str = "int8") -> Model:
    batch, time, depth, cells, outputs = _sizes(rng, parts)
    attrs = _attrs(rng, parts)
    lead = _lead(rng, op, batch, time, attrs)
    fine, far, near = (256, 1, 1) if kind == "int16" else (1, 100, 20)
    hidden = quant(2.0**-7 / fine, int(rng.integers(1 - near, near)))
    inputs: list[Any] = [None] * 24
    inputs[0] = tensor(
        kind, (*lead, depth), quant(rng.uniform(0.005, 0.03) / fine, int(rng.integers(1 - far, far)))
    )
    for gate in range(int("cifg" in parts), 4):
        inputs[1 + gate] = _matrix(rng, True, (cells, depth))
        inputs[5 + gate] = _matrix(rng, True, (cells, outputs))
        bias = rng.integers(-2000, 2000, cells) * fine
        inputs[12 + gate] = constant("int64" if kind == "int16" else "int32", bias, quant(1e-4))
        small = quant(rng.uniform(1e-5, 1e-4))
        if "peephole" in parts and gate != 2:
            inputs[9 + min(gate, 2)] = constant("int16", random_weights(rng, "int16", (cells,)), small)
        if "norm" in parts:
            inputs[20 + gate] = constant("int16", random_weights(rng, "int16", (cells,)), small)
    between = hidden
    if "projection" in parts:
        between = quant(rng.uniform(0.005, 0.01), int(rng.integers(-20, 20)))
        inputs[16] = _matrix(rng, True, (outputs, cells))
        inputs[17] = constant("int32", rng.integers(-500, 500, outputs), quant(1e-4))
    inputs[18] = tensor(kind, (batch, outputs), hidden, variable=True)
    inputs[19] = tensor("int16", (batch, cells), quant(2.0 ** -int(rng.integers(9, 14))), variable=True)
    gates = [("int16", (0,), quant(rng.uniform(1e-4, 1e-3))) for _ in range(4)]
    result = tensor(kind, (*lead, outputs), hidden)
    return one_op(op, inputs, [result], attrs, intermediates=[*gates, ("int8", (0,), between)])


def both_ways(rng: Rng, parts: str, hybrid: bool, auxiliary: str) -> Model:
    """`auxiliary`: none, weighted, or linked (the backward cell's own input).

    Where LiteRT errs, it is kept out: merged outputs are time-major, and so are linked inputs.
    """
    batch, time, depth, cells, outputs = _sizes(rng, parts)
    attrs = _attrs(rng, parts, bool(rng.random() < 0.5))
    attrs["proj_clip"] = 0.0
    major = auxiliary == "linked" or bool(rng.random() < 0.5)
    merge = major and bool(rng.random() < 0.5)
    lead = (time, batch) if major else (batch, time)
    inputs: list[Any] = [("float32", (*lead, depth)), *[None] * 47]
    for weights, recurrent, peephole, bias, projection, state, extra in (
        (1, 5, 9, 12, 16, 35, 40),
        (18, 22, 26, 29, 33, 37, 44),
    ):
        for gate in range(int("cifg" in parts), 4):
            inputs[weights + gate] = _matrix(rng, hybrid, (cells, depth))
            inputs[recurrent + gate] = _matrix(rng, hybrid, (cells, outputs))
            inputs[bias + gate] = _float_vector(rng, cells)
            if auxiliary == "weighted":
                inputs[extra + gate] = _matrix(rng, hybrid, (cells, depth))
            if "peephole" in parts and gate != 2:
                inputs[peephole + min(gate, 2)] = _float_vector(rng, cells, hybrid)
        if "projection" in parts:
            both = _matrix(rng, hybrid, (outputs, cells)), _float_vector(rng, outputs)
            inputs[projection], inputs[projection + 1] = both
        inputs[state] = tensor("float32", (batch, outputs), variable=True)
        inputs[state + 1] = tensor("float32", (batch, cells), variable=True)
    if auxiliary != "none":
        inputs[39] = ("float32", (*lead, depth))
    ends = [2 * outputs] if merge else [outputs, outputs]
    attrs |= {"merge_outputs": merge, "time_major": major}
    return one_op("bidirectional_sequence_lstm", inputs, [("float32", (*lead, n)) for n in ends], attrs)


def basic_model(rng: Rng, integer: bool) -> Model:
    batch, depth, units = (int(rng.integers(1, n)) for n in (4, 9, 7))
    attrs = {"fused_activation_function": "TANH", "kernel_type": "BASIC"}
    if not integer:
        state = tensor("float32", (batch, units), variable=True)
        other = tensor("float32", (batch, units), variable=True)
        weights = constant("float32", rng.normal(size=(4 * units, depth + units)))
        inputs = [("float32", (batch, depth)), state, weights, _float_vector(rng, 4 * units), other]
        widths = (units, units, depth + units, 4 * units)
        return one_op("lstm", inputs, [("float32", (batch, n)) for n in widths], attrs)
    depth += -(depth + units) % 8
    q, gates, cell = quant(1 / 128, 128), quant(2.0**-12), quant(2.0**-11)
    shape = (4 * units, depth + units)
    inputs = [
        ("uint8", (batch, depth), q),
        tensor("uint8", (batch, units), q, variable=True),
        constant("uint8", random_array(rng, "uint8", shape), quant(0.01, 120)),
        constant("int32", rng.integers(-9000, 9000, 4 * units), quant(0.01 / 128)),
        tensor("int16", (batch, units), cell, variable=True),
    ]
    outputs = [
        ("uint8", (batch, units), q), ("int16", (batch, units), cell),
        ("uint8", (batch, depth + units), q), ("int16", (batch, 4 * units), gates),
    ]  # fmt: skip
    return one_op("lstm", inputs, outputs, attrs, version=2)
