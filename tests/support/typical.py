"""One typical node of every operator with every dtype that models use it with: what the cpu backend must have kernels for.

A case is a line of a table: operator, dtypes, and how its inputs, outputs and attributes look. `q` stands for a quantised tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edged.graph.model import Model, Tensor
from support import lstm_models, rnn_models
from support.build import Array, constant, one_op, quant, random_array, tensor

Rng = np.random.Generator
Make = Callable[[Rng], Model]

FLOAT, QUANTISED, PLAIN = ("float32",), ("int8", "uint8", "int16"), ("int32", "int64")
SHAPE = (2, 6, 5, 4)


@dataclass(frozen=True)
class Case:
    """`low`: least value of float inputs (for roots and logarithms)."""

    kind: str
    dtype: str
    make: Make
    low: float = -4.0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.dtype}"

    def inputs(self, rng: Rng, model: Model) -> list[Array]:
        return [self._input(rng, t) for t in model.main.inputs]

    def _input(self, rng: Rng, t: Tensor) -> Array:
        if t.dtype.is_float:
            return rng.uniform(self.low, 4, t.shape).astype(str(t.dtype))
        if str(t.dtype) in PLAIN:
            return rng.integers(1, 4, t.shape).astype(str(t.dtype))
        made = random_array(rng, t.dtype, t.shape)
        if self.low > 0 and t.quantization is not None:  # stored values above real 0
            return np.maximum(made, np.array(t.quantization.zero_point + 1, made.dtype))
        return made


def scale_of(dtype: str, fine: float = 1.0) -> Any:
    """A quantisation that suits the dtype; None for plain ones."""
    points = {"int8": quant(0.05 * fine, -3), "uint8": quant(0.05 * fine, 120), "int16": quant(0.0005 * fine)}
    return points.get(dtype)


def like(dtype: str, shape: Sequence[int] = SHAPE, fine: float = 1.0, stored: bool = False) -> tuple[Any, ...]:
    """A tensor's description; `stored`: without a quantisation."""
    return (dtype, tuple(shape), None if stored else scale_of(dtype, fine))


def ints(*values: int) -> Tensor:
    return constant("int32", np.array(values, np.int32))


# ---- elementwise ----

_UNARY: Mapping[str, str] = {
    "abs": "float32 int8 int16 int32", "neg": "float32 int32 int64", "sqrt": "float32 int8 int16",
    "rsqrt": "float32 int8", "square": "float32", "sin": "float32", "cos": "float32",
    "exp": "float32 int8 int16", "log": "float32 int8", "floor": "float32", "ceil": "float32", "round": "float32",
    "sign": "float32 int32", "relu": "float32 int8 uint8 int16", "relu6": "float32 int8 uint8",
    "relu_n1_to_1": "float32 int8 uint8", "relu_0_to_1": "float32 int8 uint8", "leaky_relu": "float32 int8 uint8 int16",
    "hard_swish": "float32 int8 uint8", "elu": "float32 int8", "gelu": "float32 int8",
    "l2_normalization": "float32 int8 uint8", "log_softmax": "float32 int8 uint8", "softmax": "float32 int8 uint8 int16",
    "logistic": "float32 int8 uint8 int16", "tanh": "float32 int8 uint8 int16",
    "local_response_normalization": "float32", "zeros_like": "float32 int32", "logical_not": "bool",
}  # fmt: skip
_FIXED = {
    "l2_normalization": {"int8": quant(1 / 128), "uint8": quant(1 / 128, 128)},
    "log_softmax": {"int8": quant(16 / 256, 127), "uint8": quant(16 / 256, 255)},
    "softmax": {"int8": quant(1 / 256, -128), "uint8": quant(1 / 256), "int16": quant(1 / 32768)},
    "logistic": {"int8": quant(1 / 256, -128), "uint8": quant(1 / 256), "int16": quant(1 / 32768)},
    "tanh": {"int8": quant(1 / 128), "uint8": quant(1 / 128, 128), "int16": quant(1 / 32768)},
}
"""Outputs whose scale is part of the operator."""
_ATTRS: Mapping[str, dict[str, Any]] = {
    "leaky_relu": {"alpha": 0.1}, "softmax": {"beta": 1.0},
    "local_response_normalization": {"radius": 2, "bias": 1.0, "alpha": 0.1, "beta": 0.5},
}  # fmt: skip


def _unary(kind: str, dtype: str, _rng: Rng) -> Model:
    result = (dtype, SHAPE, _FIXED.get(kind, {}).get(dtype, scale_of(dtype)))
    source = like(dtype, SHAPE, 0.001 if (kind, dtype) == ("gelu", "int16") else 1.0)
    if kind == "abs":
        result = (dtype, SHAPE, scale_of(dtype))
    return one_op(kind, [source], [result], _ATTRS.get(kind, {}))


_BINARY: Mapping[str, str] = {
    "add": "float32 int32 int64 int8 uint8 int16", "sub": "float32 int32 int64 int8 uint8 int16",
    "mul": "float32 int32 int64 int8 uint8 int16", "div": "float32 int32 int8 uint8 int16",
    "maximum": "float32 int32 int64 int8 uint8 int16", "minimum": "float32 int32 int64 int8 uint8 int16",
    "squared_difference": "float32 int32 int8 int16", "floor_div": "float32 int32 int64",
    "floor_mod": "float32 int32 int64", "pow": "float32 int32", "atan2": "float32",
    "bitwise_xor": "int32", "right_shift": "int32", "add_n": "float32 int32 int8",
    "stablehlo_add": "float32 int32", "stablehlo_multiply": "float32 int32", "stablehlo_maximum": "float32 int32",
    "stablehlo_minimum": "float32 int32", "stablehlo_and": "bool int32", "stablehlo_shift_left": "int32",
}  # fmt: skip
_COMPARE = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def _binary(kind: str, dtype: str, _rng: Rng) -> Model:
    same = kind in ("maximum", "minimum", "add_n")
    other = SHAPE if kind.startswith(("stablehlo", "add_n")) else (1, 6, 1, 4)
    inputs = [like(dtype), like(dtype, other, 1.0 if same else 0.7)]
    return one_op(kind, inputs, [like(dtype, SHAPE, 1.0 if same else 2.0)], {"pot_scale_int16": False})


def _compare(kind: str, dtype: str, _rng: Rng) -> Model:
    return one_op(kind, [like(dtype), like(dtype, (1, 6, 1, 4), 0.7)], [("bool", SHAPE)])


def _logical(kind: str, _rng: Rng) -> Model:
    return one_op(kind, [("bool", SHAPE), ("bool", SHAPE)], [("bool", SHAPE)])


def _select(kind: str, dtype: str, _rng: Rng) -> Model:
    return one_op(kind, [("bool", SHAPE), like(dtype), like(dtype)], [like(dtype)])


def _prelu(dtype: str, rng: Rng) -> Model:
    alpha = random_array(rng, dtype, (1, 1, 4))
    return one_op("prelu", [like(dtype), constant(dtype, alpha, scale_of(dtype, 0.2))], [like(dtype)])


def elementwise() -> Iterator[Case]:
    positive = {"sqrt", "rsqrt", "log", "pow", "floor_mod", "floor_div"}
    for kind, dtypes in _UNARY.items():
        for d in dtypes.split():
            yield Case(kind, d, partial(_unary, kind, d), 0.1 if kind in positive else -4.0)
    for kind, dtypes in _BINARY.items():
        for d in dtypes.split():
            yield Case(kind, d, partial(_binary, kind, d), 0.1 if kind in positive else -4.0)
    for kind in _COMPARE:
        for d in (*FLOAT, *QUANTISED, *PLAIN):
            yield Case(kind, d, partial(_compare, kind, d))
    for kind in ("logical_and", "logical_or"):
        yield Case(kind, "bool", partial(_logical, kind))
    for kind in ("select", "select_v2"):
        for d in (*FLOAT, *QUANTISED, *PLAIN):
            yield Case(kind, d, partial(_select, kind, d))
    for d in ("float32", "int8", "uint8"):
        yield Case("prelu", d, partial(_prelu, d))


# ---- reductions ----


def _reduce(kind: str, dtype: str, _rng: Rng) -> Model:
    fine = 1.0 if kind in ("reduce_max", "reduce_min") else 2.0
    return one_op(kind, [like(dtype), ints(1, 2)], [like(dtype, (2, 4), fine)], {"keep_dims": False})


def _arg(kind: str, dtype: str, _rng: Rng) -> Model:
    return one_op(kind, [like(dtype), ints(3)], [("int32", SHAPE[:3])])


def _cumsum(dtype: str, _rng: Rng) -> Model:
    return one_op("cumsum", [like(dtype), ints(2)], [like(dtype, SHAPE, 4.0)])


def _topk(dtype: str, _rng: Rng) -> Model:
    return one_op("topk_v2", [like(dtype), ints(3)], [like(dtype, (2, 6, 5, 3)), ("int32", (2, 6, 5, 3))])


def reductions() -> Iterator[Case]:
    for kind in ("sum", "mean", "reduce_prod", "reduce_max", "reduce_min"):
        for d in (*FLOAT, *QUANTISED, *PLAIN):
            if (kind, d) != ("reduce_prod", "uint8"):
                yield Case(kind, d, partial(_reduce, kind, d))
    for kind in ("reduce_any", "reduce_all"):
        yield Case(kind, "bool", partial(_reduce, kind, "bool"))
    for kind in ("arg_max", "arg_min"):
        for d in ("float32", "int8", "uint8", "int32"):
            yield Case(kind, d, partial(_arg, kind, d))
    for d in ("float32", "int8", "int32", "int64"):
        yield Case("cumsum", d, partial(_cumsum, d))
    for d in (*FLOAT, *QUANTISED, *PLAIN):
        yield Case("topk_v2", d, partial(_topk, d))


# ---- recurrent ----


def recurrent() -> Iterator[Case]:
    for op in (lstm_models.SEQUENCE, lstm_models.STEP):
        for parts in lstm_models.PARTS:
            yield Case(op, f"float32 {parts}".strip(), partial(lstm_models.float_model, parts=parts, op=op))
            hybrid = partial(lstm_models.float_model, parts=parts, op=op, hybrid=True)
            yield Case(op, f"float32 x int8 {parts}".strip(), hybrid)
            yield Case(op, f"int8 {parts}".strip(), partial(lstm_models.integer_model, parts=parts, op=op))
    yield Case(
        lstm_models.SEQUENCE, "int16", partial(lstm_models.integer_model, parts="", op=lstm_models.SEQUENCE, kind="int16")
    )  # fmt: skip
    for integer in (False, True):
        kind = "uint8 basic" if integer else "float32 basic"
        yield Case(lstm_models.STEP, kind, partial(lstm_models.basic_model, integer=integer))
    for hybrid_weights in (False, True):
        suffix = "float32 x int8" if hybrid_weights else "float32"
        both = partial(lstm_models.both_ways, parts="peephole", hybrid=hybrid_weights, auxiliary="none")
        yield Case("bidirectional_sequence_lstm", suffix, both)
        own: dict[str, Any] = {"hybrid": hybrid_weights, "asymmetric": False}
        yield Case("rnn", suffix, partial(rnn_models.one_step, **own))
        yield Case("unidirectional_sequence_rnn", suffix, partial(rnn_models.sequence, **own))
        yield Case("bidirectional_sequence_rnn", suffix, partial(rnn_models.both_ways, auxiliary="none", **own))
    for d in ("float32", "int8"):
        yield Case("svdf", d, partial(_svdf, d))


def _svdf(dtype: str, rng: Rng) -> Model:
    whole = dtype == "int8"
    kinds = ("int8", "int16", "int32") if whole else ("float32",) * 3
    state = tensor(kinds[1], (1, 5 * 8), quant(0.02) if whole else None, variable=True, name="state")
    inputs = [
        (dtype, (1, 20), quant(0.05, 4) if whole else None),
        constant(kinds[0], random_array(rng, kinds[0], (8, 20)), quant(0.01) if whole else None),
        constant(kinds[1], random_array(rng, kinds[1], (8, 5)), quant(0.0001) if whole else None),
        constant(kinds[2], np.arange(4).astype(kinds[2]), quant(0.0005) if whole else None), state,
    ]  # fmt: skip
    out = (dtype, (1, 4), quant(0.2, -7) if whole else None)
    return one_op("svdf", inputs, [out], {"rank": 2, "fused_activation_function": "RELU"})
