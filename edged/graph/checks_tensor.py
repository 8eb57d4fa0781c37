"""Checks of single tensors: shapes, bytes of constants, quantisation, sparsity. Rows of `verify`'s table."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from math import isfinite

from edged.graph.model import DType, Graph, Model, Quantization, Sparsity, Tensor

MAX_RANK = 32
MAX_BYTES = 1 << 40
"""No tensor takes more; it keeps every later product of sizes far from overflow."""

_RANGES: dict[DType, tuple[int, int]] = {
    dtype: (-(1 << bits - 1), (1 << bits - 1) - 1) if str(dtype).startswith("int") else (0, (1 << bits) - 1)
    for dtype in DType
    if "int" in str(dtype) and (bits := dtype.bits)
}
"""Least and greatest stored value of the integer dtypes."""

TensorCheck = Callable[[Tensor], Iterator[str]]
GraphCheck = Callable[[Model, Graph], Iterator[str]]


def each(check: TensorCheck) -> GraphCheck:
    """The check of a graph that asks `check` about each of its tensors, those of its quantisations too."""

    def of_graph(model: Model, graph: Graph) -> Iterator[str]:
        for tensor in _all(graph):
            yield from (f"tensor {tensor.name!r}: {problem}" for problem in check(tensor))

    return of_graph


def _all(graph: Graph) -> Iterator[Tensor]:
    for tensor in graph.tensors:
        yield tensor
        if tensor.quantization is not None and tensor.quantization.block_size:
            inner = (tensor.quantization.block_scales, tensor.quantization.block_zero_points)
            yield from (t for t in inner if t is not None)


def shape(tensor: Tensor) -> Iterator[str]:
    """Rank and sizes within bounds; a signature, if any, of the same rank."""
    if len(tensor.shape) > MAX_RANK:
        yield f"rank {len(tensor.shape)} is beyond {MAX_RANK}"
    elif any(size < 0 for size in tensor.shape):
        yield f"shape {tensor.shape} has a negative size"
    elif tensor.nbytes > MAX_BYTES:
        yield f"shape {tensor.shape} of {tensor.dtype} takes more than {MAX_BYTES} bytes"
    signature = tensor.signature
    if signature is None:
        return
    if len(signature) != len(tensor.shape) or min(signature, default=0) < -1:
        yield f"signature {signature} does not fit the shape {tensor.shape}"


def _misshapen(tensor: Tensor) -> bool:
    return next(shape(tensor), None) is not None


def data(tensor: Tensor) -> Iterator[str]:
    """A constant's bytes are as many as its shape takes (sparse ones are `sparsity`'s business)."""
    if tensor.data is None or tensor.sparsity is not None or _misshapen(tensor):
        return
    if tensor.variable:
        yield "a variable holds constant data"
    if tensor.dtype is DType.STRING:
        yield from _strings(tensor, tensor.data)
    elif not tensor.dtype.bits:
        yield f"a constant of dtype {tensor.dtype}"
    elif len(tensor.data) != tensor.nbytes:
        have = f"{len(tensor.data)} bytes of data"
        yield f"{have}, but its shape {tensor.shape} of {tensor.dtype} takes {tensor.nbytes}"


def _strings(tensor: Tensor, data: memoryview) -> Iterator[str]:
    """TFLite's string tensors: count, count + 1 offsets from the data's start (all int32), then the bytes."""
    if not data and not tensor.elements:
        return
    count = struct.unpack_from("<i", data)[0] if len(data) >= 4 else -1
    if count != tensor.elements or len(data) < 4 * (count + 2):
        yield f"{count} strings in {len(data)} bytes, but its shape {tensor.shape} has {tensor.elements}"
        return
    last = 4 * (count + 2)
    for (offset,) in struct.iter_unpack("<i", data[4 : 4 * (count + 2)]):
        if not last <= offset <= len(data):
            yield f"a string's offset {offset} lies outside the data of {len(data)} bytes"
            return
        last = offset


def quantisation(tensor: Tensor) -> Iterator[str]:
    """Scales positive and finite, zero points within the dtype, one scale per channel of the axis."""
    found = tensor.quantization
    if found is None or tensor.dtype not in _RANGES:
        return
    if not all(isfinite(scale) and scale >= 0 for scale in found.scales):
        yield "a scale is negative or not finite"
    elif not tensor.constant and 0.0 in found.scales:
        yield "a scale is zero"
    low, high = _RANGES[tensor.dtype]
    outside = next((point for point in found.zero_points if not low <= point <= high), None)
    if outside is not None:
        yield f"zero point {outside} does not fit {tensor.dtype}"
    if len(found.zero_points) not in (1, len(found.scales)):
        yield f"{len(found.scales)} scales, but {len(found.zero_points)} zero points"
    if len(found.scales) > 1:
        yield from _channels(tensor, found)
    if found.block_scales is not None and not any(map(_misshapen, (tensor, found.block_scales))):
        yield from _blocks(tensor, found, found.block_scales)


def _channels(tensor: Tensor, found: Quantization) -> Iterator[str]:
    if not 0 <= found.axis < len(tensor.shape):
        yield f"quantised along axis {found.axis}, but its shape is {tensor.shape}"
    elif tensor.shape[found.axis] != len(found.scales):
        yield f"{len(found.scales)} scales for {tensor.shape[found.axis]} channels of axis {found.axis}"


def _blocks(tensor: Tensor, found: Quantization, scales: Tensor) -> Iterator[str]:
    if found.block_size <= 0:
        yield f"block size {found.block_size} is not positive"
    elif not scales.constant or scales.dtype not in (DType.FLOAT16, DType.FLOAT32):
        yield f"block scales {scales.name!r} are no float constant"
    elif tensor.elements != scales.elements * found.block_size:
        yield f"{scales.elements} blocks of {found.block_size} do not make up the shape {tensor.shape}"


def sparsity(tensor: Tensor) -> Iterator[str]:
    """The levels of the traversal fit each other, the shape, and the number of stored values."""
    found = tensor.sparsity
    if found is None or _misshapen(tensor):
        return
    sizes = _level_sizes(found, tensor.shape)
    if tensor.data is None or sizes is None or not tensor.dtype.bits:
        yield "sparsity that fits neither the shape nor a constant"
        return
    count = 1
    for level, (dim, size) in enumerate(zip(found.dims, sizes, strict=True)):
        if dim[1] is None:
            count *= size
            continue
        segments, indices = dim
        if not _compressed(segments, indices, count, size):
            yield f"sparse level {level}: its segments and indices do not fit {count} rows of {size}"
            return
        count = len(indices)
    if (count * tensor.dtype.bits + 7) // 8 != len(tensor.data):
        yield f"{len(tensor.data)} bytes of data, but its sparsity has {count} values"


def _level_sizes(found: Sparsity, shape: Sequence[int]) -> list[int] | None:
    """The size of each level of the traversal; None when the traversal does not fit the shape."""
    rank, blocks = len(shape), len(found.block_map)
    if len(found.dims) != rank + blocks or sorted(found.traversal) != list(range(rank + blocks)):
        return None
    if max(found.traversal[:rank], default=-1) >= rank or any(not 0 <= d < rank for d in found.block_map):
        return None
    outer = list(shape)
    inner: dict[int, int] = {}
    for place, (size, indices) in zip(found.traversal[rank:], found.dims[rank:], strict=True):
        target = found.block_map[place - rank]
        if not isinstance(size, int) or indices is not None or size <= 0 or outer[target] % size:
            return None
        inner[place] = size
        outer[target] //= size
    sizes = [outer[place] if place < rank else inner[place] for place in found.traversal]
    dense = zip(found.dims, sizes, strict=True)
    return sizes if all(dim[1] is not None or dim[0] == size for dim, size in dense) else None


def _compressed(segments: Sequence[int], indices: Sequence[int], rows: int, size: int) -> bool:
    """CSR: `rows` + 1 rising segments that end at the number of indices, each index below `size`."""
    if len(segments) != rows + 1 or segments[0] != 0 or segments[-1] != len(indices):
        return False
    rising = all(segments[i] <= segments[i + 1] for i in range(rows))
    return rising and all(0 <= index < size for index in indices)
