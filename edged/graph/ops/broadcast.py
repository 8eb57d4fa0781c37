"""What elementwise operators share: shapes (NumPy's broadcasting is TFLite's), operands, scales, saturated
stores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edged.errors import ShapeError, UnsupportedError
from edged.graph.model import Node, Shape, Tensor
from edged.graph.ops.fixedpoint import integer_range, multiply_by_quantized_multiplier, quantize_multiplier
from edged.graph.ops.spec import Array, Arrays, Value

Shapes = Sequence[Shape | None]


def infer_same(_node: Node, shapes: Shapes, _value: Value) -> Shapes:
    """One output of the first input's shape."""
    return [shapes[0]]


def broadcast_shapes(node: Node, shapes: Sequence[Shape]) -> Shape:
    """The shape that all broadcast to; ShapeError when they do not."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        given = " and ".join(str(s) for s in shapes)
        raise ShapeError(f"{node.where}: shapes {given} do not broadcast") from None


def infer_broadcast(node: Node, shapes: Shapes, _value: Value) -> Shapes:
    """One output of the shape that all inputs broadcast to."""
    known = [s for s in shapes if s is not None]
    return [broadcast_shapes(node, known) if len(known) == len(shapes) else None]


def operand(arrays: Arrays, index: int) -> Array:
    """A required input's array."""
    array = arrays[index]
    assert array is not None
    return array


def operands(node: Node, arrays: Arrays) -> tuple[Array, Array]:
    """Both inputs of a binary operator; ShapeError unless they broadcast."""
    a, b = operand(arrays, 0), operand(arrays, 1)
    broadcast_shapes(node, [a.shape, b.shape])
    return a, b


def scale_of(tensor: Tensor) -> np.float32:
    """The scale of a per-tensor quantisation, in the precision that files and TFLite hold it in."""
    assert tensor.quantization is not None
    return np.float32(tensor.quantization.scale)


def working_scale(tensor: Tensor, stored: np.dtype[np.generic]) -> np.floating:
    """The scale in the precision that products and quotients of scales are taken in: float32 for uint8, as
    LiteRT does; double for the rest, as TFLite Micro does where LiteRT has float32."""
    scale = scale_of(tensor)
    return scale if stored == np.uint8 else np.float64(scale)


def zero_point_of(tensor: Tensor) -> int:
    """The zero point of a per-tensor quantisation; 0 without one."""
    return tensor.quantization.zero_point if tensor.quantization is not None else 0


def require_dtypes(node: Node, array: Array, kinds: str) -> None:
    """UnsupportedError unless the array's dtype is one of the space-separated names."""
    if str(array.dtype) not in kinds.split():
        raise UnsupportedError(
            f"{node.where}: {node.op} has no meaning for {array.dtype}",
            remedy=f"it takes {kinds.replace(' ', ', ')}",
        )


def saturate(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Values clamped to the range of an integer dtype, in that dtype."""
    return np.asarray(np.clip(values, *integer_range(str(dtype)))).astype(dtype)


def store(node: Node, values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Scaled integers -> stored outputs: the output's zero point added, saturated."""
    return saturate(values + zero_point_of(node.outputs[0]), dtype)


def rescaled(values: Array, real: float) -> Array:
    """Integers times a real multiplier in fixed point, with double rounding."""
    return multiply_by_quantized_multiplier(values, *quantize_multiplier(real))
