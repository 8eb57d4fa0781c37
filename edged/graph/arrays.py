"""Bytes of a tensor <-> NumPy array, for every dtype that has elements of a fixed size."""

from __future__ import annotations

from typing import Any

import numpy as np

from edged.errors import ModelError, UnsupportedError
from edged.graph.model import DType, Tensor

Array = np.ndarray[Any, np.dtype[Any]]

_NUMPY: dict[DType, Any] = {d: np.dtype(str(d)) for d in DType if d.bits >= 8 and d is not DType.BFLOAT16}
_UNPACKED: dict[DType, Any] = {
    DType.INT4: np.dtype(np.int8), DType.INT2: np.dtype(np.int8), DType.UINT4: np.dtype(np.uint8),
    DType.BFLOAT16: np.dtype(np.float32),
}  # fmt: skip


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The dtype of the array that stands for a tensor: 4- and 2-bit integers widen to 8, bfloat16 to
    float32."""
    found: np.dtype[Any] | None = _NUMPY.get(dtype) or _UNPACKED.get(dtype)
    if found is None:
        raise UnsupportedError(f"tensors of dtype {dtype} have no array form")
    return found


def from_bytes(dtype: DType, shape: tuple[int, ...], data: memoryview | bytes, name: str = "") -> Array:
    """The array of `shape`; a view of `data` wherever no unpacking is needed. ModelError when the size is
    wrong."""
    count = int(np.prod(shape, dtype=np.int64))
    need = (count * dtype.bits + 7) // 8
    if len(data) != need:
        raise ModelError(
            f"tensor {name!r}: {len(data)} bytes of data, but its shape {shape} of {dtype} takes {need}"
        )
    if dtype.is_sub_byte:
        return _unpack(np.frombuffer(data, np.uint8), dtype, count).reshape(shape)
    if dtype is DType.BFLOAT16:
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, numpy_dtype(dtype)).reshape(shape)


def to_bytes(dtype: DType, array: Array) -> bytes:
    """The stored form of an array, packed where the dtype is (the reverse of `from_bytes`)."""
    if dtype.is_sub_byte:
        return _pack(array.reshape(-1), dtype)
    if dtype is DType.BFLOAT16:
        return (np.ascontiguousarray(array, np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
    return np.ascontiguousarray(array, numpy_dtype(dtype)).tobytes()


def constant(tensor: Tensor) -> Array:
    """The array of a constant tensor."""
    assert tensor.data is not None
    return from_bytes(tensor.dtype, tensor.shape, tensor.data, tensor.name)


def _unpack(packed: Array, dtype: DType, count: int) -> Array:
    bits = dtype.bits
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = ((packed[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:count]
    if dtype is DType.UINT4:
        return values
    sign = 1 << (bits - 1)
    return ((values ^ sign).astype(np.int16) - sign).astype(np.int8)


def _pack(values: Array, dtype: DType) -> bytes:
    bits = dtype.bits
    per_byte = 8 // bits
    low = (values.astype(np.int16) & ((1 << bits) - 1)).astype(np.uint8)
    low = np.concatenate([low, np.zeros(-len(low) % per_byte, np.uint8)]).reshape(-1, per_byte)
    joined: Array = (low << np.arange(0, 8, bits, dtype=np.uint8)).sum(axis=1, dtype=np.uint8)
    return joined.tobytes()
