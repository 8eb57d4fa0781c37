"""Pairs of tensors with broadcasting: arithmetic, comparisons, logic, prelu, select.

A quantised 8-bit tensor with a constant scalar becomes a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.broadcast import rescaled
from edged.graph.ops.lut import power_of_two
from edged.graph.ops.spec import attr, quantised
from edged_backends.lower.scale import LIMITS, clamp_f32, clamp_q, clamp_s32, multiplier
from edged_backends.lower.strides import broadcast_dims, item_bytes
from edged_backends.lower.table import lut
from edged_backends.lowering import Lowering, Quant, RefusedError

RANK = 5
ROW = 4096
"""Elements of one unit when two tensors of one shape are cut into rows."""

_NAMES = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "maximum": "max", "minimum": "min",
    "squared_difference": "squared_difference", "floor_div": "floor_div", "floor_mod": "floor_mod",
    "pow": "pow",
    "prelu": "prelu", "logical_and": "and", "logical_or": "or",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "lt",
    "greater_equal": "le", "atan2": "atan2", "bitwise_xor": "xor", "right_shift": "shift_right",
    "stablehlo_add": "add", "stablehlo_multiply": "mul", "stablehlo_maximum": "max",
    "stablehlo_minimum": "min", "stablehlo_and": "and", "stablehlo_shift_left": "shift_left",
}  # fmt: skip
"""Node kind -> stem of the kernel op. greater(a, b) is less(b, a)."""
_STORED = frozenset({"bitwise_xor", "right_shift", *(n for n in _NAMES if n.startswith("stablehlo_"))})
"""They compute with stored values, whatever the quantisation."""
_SWAPPED = frozenset({"greater", "greater_equal"})
_COMPARES = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
_PLAIN = {
    DType.FLOAT32: "f32", DType.INT8: "s8", DType.INT16: "s16", DType.INT32: "s32", DType.INT64: "s64",
    DType.BOOL: "bool",
}  # fmt: skip
_BYTES = frozenset({DType.INT8, DType.UINT8})
_UNSIGNED = {DType.UINT8: "u8", DType.UINT16: "u16", DType.UINT32: "u32"}
_UNTYPED = {8: "s8", 16: "s16", 32: "s32"}
"""Ops on bits have one kernel for both signs."""


def layout(
    output: Sequence[int], inputs: Sequence[Sequence[int]]
) -> tuple[dict[str, int], list[list[int]], int]:
    """(n0..n4 and last, five strides per input, units) of a broadcast. RefusedError over more than RANK
    dimensions."""
    dims, strides = broadcast_dims(output, inputs)
    if len(dims) > RANK:
        raise RefusedError(f"a broadcast over {len(dims)} dimensions; the kernels have {RANK}")
    last = dims[-1]
    if len(dims) == 1 and last > ROW:
        dims = [-(-last // ROW), ROW]
        last -= (dims[0] - 1) * ROW
        strides = [[step * ROW, step] for (step,) in strides]
    fill = RANK - len(dims)
    padded = [*[1] * fill, *dims]
    params = {f"n{i}": n for i, n in enumerate(padded)}
    params["last"] = last
    return params, [[*[0] * fill, *steps] for steps in strides], int(np.prod(padded[:-1]))


def lower_binary(lowering: Lowering, node: Node) -> str | None:
    a, b, output = node.input(0), node.input(1), node.outputs[0]
    stored = node.op in _STORED
    if stored and any(lowering.is_shifted(t) for t in (a, b, output)):
        return f"{node.op} of quantised uint8, which computes with stored values"
    if quantised(a) and a.dtype.bits == 8 and not stored and _scalar_table(lowering, node):
        return None
    if quantised(a) and a.dtype.bits <= 16 and not stored:
        op, own = _quantised_params(lowering, node)
    else:
        op, own = _plain_params(node)
    if lowering.kernels.pick(op) is None:
        return f"no kernel for {node.op} of {a.dtype}"
    pair = (b, a) if node.op in _SWAPPED else (a, b)
    params, strides, units = layout(output.shape, [t.shape for t in pair])
    for letter, steps in zip("ab", strides, strict=True):
        params.update({f"{letter}{i}": step for i, step in enumerate(steps)})
    refs = [lowering.ref(output), *(lowering.ref(t) for t in pair)]
    inplace = next(
        (i + 1 for i, t in enumerate(pair) if t.shape == output.shape and t.dtype == output.dtype), None
    )
    lowering.step(op, {**params, **own}, refs, units=units, inplace=inplace)
    return None


def _scalar_table(lowering: Lowering, node: Node) -> bool:
    """Lowers to a table when one input is a constant scalar; False when none is."""
    for index in (0, 1):
        other = node.input(1 - index)
        whole = node.input(index).shape == node.outputs[0].shape
        if other.constant and other.elements == 1 and whole and node.outputs[0].dtype.bits == 8:
            lut(lowering, node, index, why="with a constant scalar: by table")
            return True
    return False


def _plain_params(node: Node) -> tuple[str, Mapping[str, int | float]]:
    dtype = node.input(0).dtype
    bounds: tuple[float, float] = clamp_s32(node) if dtype is not DType.FLOAT32 else clamp_f32(node)
    rare = _rare(node, dtype)
    if rare and bounds != LIMITS[DType.INT32]:
        raise RefusedError(f"a fused activation on {dtype}")
    if rare:
        return rare, {"low": bounds[0], "high": bounds[1]}
    bytes_only = dtype is DType.UINT8 and node.op in ("equal", "not_equal")
    suffix = "s8" if bytes_only else _PLAIN.get(dtype)
    if suffix is None:
        raise RefusedError(f"{node.op} of {dtype}")
    if node.op in _COMPARES and suffix == "bool":
        suffix = "s8"
    return f"{_NAMES[node.op]}_{suffix}", {"low": bounds[0], "high": bounds[1]}


def _rare(node: Node, dtype: DType) -> str | None:
    """The kernel of plain 8- and 16-bit integers, and of unsigned ones, where it has a name of its own."""
    stem = _NAMES[node.op]
    if stem in ("add", "sub", "mul") and dtype.bits <= 16 and not dtype.is_float:
        return f"plain_{stem}_{'s8' if dtype in _BYTES else 's16'}"
    if stem in ("max", "min", "shift_right") and dtype in _UNSIGNED:
        return f"{stem}_{_UNSIGNED[dtype]}"
    if stem in ("xor", "and") and dtype is not DType.BOOL:
        return f"{stem}_{_UNTYPED.get(dtype.bits)}"
    return None


# ---- quantised ----

_ZERO = {
    "zero_a": 0, "zero_b": 0, "zero_out": 0, "mul_a": 0, "shift_a": 0, "mul_b": 0, "shift_b": 0,
    "mul_out": 0, "shift_out": 0,
    "left": 0, "low": 0, "high": 0,
}  # fmt: skip


def _quantised_params(lowering: Lowering, node: Node) -> tuple[str, Mapping[str, int | float]]:
    a, b, out = (lowering.internal(t) for t in (node.input(0), node.input(1), node.outputs[0]))
    suffix = "s8" if a.dtype is DType.INT8 else "s16"
    name = _NAMES[node.op]
    if a.dtype != b.dtype or len(a.scales) != 1 or len(b.scales) != 1:
        raise RefusedError(
            f"{node.op} of {a.dtype} and {b.dtype} with {len(a.scales)} and {len(b.scales)} scales"
        )
    if node.op in ("maximum", "minimum"):
        if not _same(a, b) or not _same(a, out):
            raise RefusedError(f"{node.op} of tensors with different scales")
        return f"{name}_{suffix}", {"low": 0, "high": 0}
    if node.op in _COMPARES:
        if suffix == "s16" and node.op not in ("equal", "not_equal"):
            return f"{name}_{suffix}", {"low": 0, "high": 0}
        first, second = (b, a) if node.op in _SWAPPED else (a, b)
        return f"scaled_{name}_{suffix}", _compare_params(first, second)
    rule = _QUANTISED.get(node.op)
    if node.op == "mul" and (a.dtype, out.dtype) == (DType.INT16, DType.INT8):
        suffix, rule = "s16_s8", _nothing
    if rule is None:
        raise RefusedError(f"{node.op} of quantised {a.dtype}")
    shifts = _shifts(a, b, out) if node.op in ("add", "sub") and suffix == "s16" else None
    if shifts is not None and attr(node, "pot_scale_int16", True):
        name, rule = f"{name}_pot", lambda *_: {"shift_a": shifts[0], "shift_b": shifts[1]}
    low, high = clamp_q(node, out)
    zeros = {
        "zero_a": a.zero_point,
        "zero_b": b.zero_point,
        "zero_out": out.zero_point,
        "low": low,
        "high": high,
    }
    return f"{name}_{suffix}", {**_ZERO, **zeros, **rule(node, a, b, out)}


def _shifts(a: Quant, b: Quant, out: Quant) -> tuple[int, int] | None:
    """The right shifts of the power-of-two form of int16 sums, where it applies: such scales, one input at
    the output's, none above it."""
    first, second, result = (power_of_two(_scale(q)) for q in (a, b, out))
    if first is None or second is None or result is None or result != max(first, second):
        return None
    return result - first, result - second


def _same(a: Quant, b: Quant) -> bool:
    return (a.dtype, a.scales, a.zero_points) == (b.dtype, b.scales, b.zero_points)


def _factors(**real: float) -> dict[str, int]:
    made: dict[str, int] = {}
    for key, value in real.items():
        made[f"mul_{key}"], made[f"shift_{key}"] = multiplier(value)
    return made


def _scale(quant: Quant) -> float:
    """TFLite keeps scales as float32 and computes with doubles."""
    return float(np.float32(quant.scale))


def _sum(node: Node, a: Quant, b: Quant, out: Quant) -> dict[str, int]:
    squared, short = node.op == "squared_difference", a.dtype is DType.INT16
    left = (0 if short else 7) if squared else 15 if short else 20
    twice = 2.0 * max(_scale(a), _scale(b))
    one = float(np.float32(1 << 2 * left) * np.float32(out.scale)) if squared else (1 << left) * _scale(out)
    real = (twice * twice if squared else twice) / one
    return {"left": left, **_factors(a=_scale(a) / twice, b=_scale(b) / twice, out=real)}


def _product(node: Node, a: Quant, b: Quant, out: Quant) -> dict[str, int]:
    del node
    return _factors(out=_scale(a) * _scale(b) / _scale(out))


def _quotient(node: Node, a: Quant, b: Quant, out: Quant) -> dict[str, int]:
    del node
    real = np.float32(a.scale) / (np.float32(b.scale) * np.float32(out.scale))
    return _factors(out=float(real))


def _nothing(node: Node, a: Quant, b: Quant, out: Quant) -> dict[str, int]:
    del node, a, b, out
    return {}


def _prelu(node: Node, a: Quant, b: Quant, out: Quant) -> dict[str, int]:
    del node
    return _factors(a=_scale(a) / _scale(out), b=_scale(a) * _scale(b) / _scale(out))


def _compare_params(a: Quant, b: Quant) -> dict[str, int]:
    made = {**_ZERO, "zero_a": a.zero_point, "zero_b": b.zero_point, "left": 8}
    return {**made, **_factors(a=_scale(a), b=_scale(b))}


_QUANTISED: dict[str, Callable[[Node, Quant, Quant, Quant], dict[str, int]]] = {
    "add": _sum, "sub": _sum, "squared_difference": _sum, "mul": _product, "prelu": _prelu,
    "div": _quotient,
}  # fmt: skip


# ---- select ----


def lower_select(lowering: Lowering, node: Node) -> str | None:
    condition, a, b, output = node.input(0), node.input(1), node.input(2), node.outputs[0]
    shape = condition.shape
    if node.op == "select" and len(shape) == 1 and len(output.shape) > 1:
        shape = (*shape, *[1] * (len(output.shape) - 1))
    if len({lowering.internal(t) for t in (a, b, output)}) > 1 and quantised(output):
        return "a choice between tensors of different scales"
    params, strides, units = layout(output.shape, [a.shape, b.shape, shape])
    for letter, steps in zip("abc", strides, strict=True):
        params.update({f"{letter}{i}": step for i, step in enumerate(steps)})
    if units * params["n4"] != output.elements:
        dims, (sa, sb, sc) = [output.elements], ([s[4]] for s in strides)
        params.update(n3=1, n4=dims[0], a3=0, b3=0, c3=0, a4=sa[0], b4=sb[0], c4=sc[0], last=dims[0])
        units = 1
    refs = [lowering.ref(t) for t in (output, condition, a, b)]
    lowering.step("select", {**params, "size": item_bytes(output)}, refs, units=units)
    return None


# ---- more than two ----


def lower_add_n(lowering: Lowering, node: Node) -> str | None:
    inputs: list[Tensor] = [t for t in node.inputs if t is not None]
    output = node.outputs[0]
    if output.dtype is DType.INT8 and quantised(output) and len(inputs) > 1:
        _add_n_s8(lowering, inputs, output)
        return None
    suffix = {DType.FLOAT32: "f32", DType.INT32: "s32"}.get(output.dtype)
    if suffix is None or len(inputs) < 2:
        return f"add_n of {len(inputs)} tensors of {output.dtype}"
    params, (steps, _), units = layout(output.shape, [output.shape, output.shape])
    for letter in "ab":
        params.update({f"{letter}{i}": step for i, step in enumerate(steps)})
    bounds = {"low": -np.inf, "high": np.inf} if suffix == "f32" else {"low": -(2**31), "high": 2**31 - 1}
    result = lowering.ref(output)
    first = lowering.ref(inputs[0])
    for tensor in inputs[1:]:
        lowering.step(
            f"add_{suffix}", {**params, **bounds}, [result, first, lowering.ref(tensor)], units=units
        )
        first = result
    return None


def _add_n_s8(lowering: Lowering, inputs: Sequence[Tensor], output: Tensor) -> None:
    """One step an addend, over a sum of int32."""
    first, to = lowering.internal(inputs[0]), lowering.internal(output)
    half = multiplier(0.5)
    out = multiplier(2.0 * _scale(first) / ((1 << 20) * _scale(to)))
    start = int(rescaled(np.asarray(-first.zero_point << 20), 0.5))
    shared = {
        "start": start, "mul_in": half[0], "shift_in": half[1], "mul_out": out[0], "shift_out": out[1],
        "zero_out": to.zero_point,
    }  # fmt: skip
    total, result = lowering.temp(4 * output.elements), lowering.ref(output)
    for i, tensor in enumerate(inputs):
        own = {
            "first": int(i == 0), "last": int(i == len(inputs) - 1),
            "zero_in": lowering.internal(tensor).zero_point,
        }  # fmt: skip
        refs = [result, total, lowering.ref(tensor)]
        lowering.step("add_n_s8", {**shared, **own}, refs, units=output.elements, writes=2)


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    **dict.fromkeys(_NAMES, lower_binary), "select": lower_select, "select_v2": lower_select,
    "add_n": lower_add_n,
}  # fmt: skip
