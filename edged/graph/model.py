"""Model, Graph, Node, Tensor, Quantization: frozen, compared by identity, nodes in topological order.

A tensor that holds data is a constant; its bytes stay a view of the mapped file until somebody computes with
them. This module knows no operator: what an op means stands in `edged.graph.ops`, what a legal graph is in
`edged.graph.verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from math import prod
from types import MappingProxyType
from typing import Any

Shape = tuple[int, ...]
Attrs = Mapping[str, Any]
NO_ATTRS: Attrs = MappingProxyType({})


class DType(StrEnum):
    """Element types by their NumPy names; the 4- and 2-bit ones are packed, low bits first."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT64 = "float64"
    INT2 = "int2"
    INT4 = "int4"
    UINT4 = "uint4"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    BOOL = "bool"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    STRING = "string"
    RESOURCE = "resource"
    VARIANT = "variant"

    @property
    def bits(self) -> int:
        """Bits of one stored element; 0 where elements have no fixed size (string, resource, variant)."""
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        return self in _FLOATS

    @property
    def is_sub_byte(self) -> bool:
        return 0 < _BITS[self] < 8


_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16, DType.FLOAT64})
_BITS: dict[DType, int] = {
    DType.FLOAT32: 32, DType.FLOAT16: 16, DType.BFLOAT16: 16, DType.FLOAT64: 64,
    DType.INT2: 2, DType.INT4: 4, DType.UINT4: 4, DType.INT8: 8, DType.UINT8: 8,
    DType.INT16: 16, DType.UINT16: 16, DType.INT32: 32, DType.UINT32: 32,
    DType.INT64: 64, DType.UINT64: 64, DType.BOOL: 8, DType.COMPLEX64: 64, DType.COMPLEX128: 128,
    DType.STRING: 0, DType.RESOURCE: 0, DType.VARIANT: 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantization:
    """Affine quantisation: real = scale * (stored - zero_point).

    One scale: per tensor. Several: per channel along `axis` (one zero point for all, or one each).
    `block_size` > 0:
    blockwise along `axis`, the scales being the float16/float32 tensor `block_scales` (and
    `block_zero_points`).
    """

    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    block_size: int = 0
    block_scales: Tensor | None = None
    block_zero_points: Tensor | None = None

    @property
    def per_tensor(self) -> bool:
        return len(self.scales) == 1

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantisation (of the first channel otherwise)."""
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        return self.zero_points[0] if self.zero_points else 0


@dataclass(frozen=True, slots=True)
class Sparsity:
    """TFLite's sparse encoding of a constant, as in schema.fbs SparsityParameters.

    `dims` holds for every dimension of the traversal (dense_size, None) when it is dense, or (segments,
    indices) when it is CSR-compressed; those may be views of the file.
    """

    traversal: tuple[int, ...]
    block_map: tuple[int, ...]
    dims: tuple[tuple[int, None] | tuple[Sequence[int], Sequence[int]], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Tensor:
    """One value of a graph.

    `shape` is concrete (what the file stores); `signature` marks dimensions that a client may resize with -1.
    `data` is the little-endian bytes of a constant. `variable` keeps its value from call to call.
    `rank_known` False:
    the file gives no shape (LiteRT: unknown rank), and it comes from shape inference.
    """

    name: str
    dtype: DType
    shape: Shape
    signature: Shape | None = None
    quantization: Quantization | None = None
    data: memoryview | None = field(default=None, repr=False)
    variable: bool = False
    sparsity: Sparsity | None = field(default=None, repr=False)
    rank_known: bool = True

    @property
    def constant(self) -> bool:
        return self.data is not None

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the dense value (sub-byte types packed, rounded up)."""
        return (self.elements * self.dtype.bits + 7) // 8

    @property
    def symbolic(self) -> bool:
        return self.signature is not None and -1 in self.signature

    def __str__(self) -> str:
        dims = "x".join("?" if s == -1 else str(s) for s in (self.signature or self.shape))
        return f"%{self.name}:{self.dtype}[{dims}]"


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Node:
    """One operation. `op` is TFLite's builtin name in lower case (`conv_2d`), or `custom` with its code in
    `custom_code`.

    `attrs` has the field names of schema.fbs and plain values (enums as their names: padding="SAME",
    fused_activation_function="RELU6"). `options` are the raw bytes of a custom op. `origin` is where the node
    came from, for messages ("operator 14 CONV_2D").
    """

    op: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attrs: Attrs = field(default_factory=lambda: NO_ATTRS)
    version: int = 1
    custom_code: str = ""
    options: bytes = field(default=b"", repr=False)
    origin: str = ""
    intermediates: tuple[Tensor, ...] = ()

    @property
    def kind(self) -> str:
        """`op`, or `custom:CODE`: what tables of supported ops are keyed by."""
        return f"custom:{self.custom_code}" if self.op == "custom" else self.op

    @property
    def where(self) -> str:
        return self.origin or self.kind

    def input(self, index: int) -> Tensor:
        """The tensor of a required input; ModelError is verify's business, so an absent one is a programming
        error."""
        tensor = self.inputs[index]
        assert tensor is not None, f"{self.where}: input {index} is absent"
        return tensor

    def optional(self, index: int) -> Tensor | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def __str__(self) -> str:
        ins = ", ".join("-" if t is None else f"{t}!" if t.constant else str(t) for t in self.inputs)
        outs = ", ".join(map(str, self.outputs))
        attrs = " ".join(f"{k}={v}" for k, v in self.attrs.items())
        return f"{outs} = {self.kind}({ins})" + (f" {{{attrs}}}" if attrs else "")


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in topological order between `inputs` and `outputs`. Several of them, naming each other by index,
    are a Model."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[Node, ...]

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor once, in order of first mention: inputs, then node by node."""
        return tuple(dict.fromkeys(self._mentions()))

    def _mentions(self) -> Iterator[Tensor]:
        yield from self.inputs
        for node in self.nodes:
            yield from (t for t in node.inputs if t is not None)
            yield from node.outputs
            yield from node.intermediates
        yield from self.outputs

    @cached_property
    def uses(self) -> Mapping[Tensor, int]:
        """How many node inputs and graph outputs read each tensor."""
        count: dict[Tensor, int] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                if tensor is not None:
                    count[tensor] = count.get(tensor, 0) + 1
        for tensor in self.outputs:
            count[tensor] = count.get(tensor, 0) + 1
        return MappingProxyType(count)

    @cached_property
    def producers(self) -> Mapping[Tensor, Node]:
        return MappingProxyType({t: node for node in self.nodes for t in node.outputs})

    @property
    def constants(self) -> Iterable[Tensor]:
        return (t for t in self.tensors if t.constant)

    @property
    def variables(self) -> Iterable[Tensor]:
        return (t for t in self.tensors if t.variable)

    def with_nodes(self, nodes: Iterable[Node]) -> Graph:
        return replace(self, nodes=tuple(nodes))

    def __str__(self) -> str:
        head = (
            f"graph {self.name}({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.outputs))})"
        )
        return "\n".join([head, *(f"  {node}" for node in self.nodes)])


@dataclass(frozen=True, slots=True)
class Signature:
    """A named entry: public input and output names to the tensors of one graph."""

    name: str
    graph: int
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Model:
    """What a file holds: graphs (the first is the main one), named signatures, and what the file says of
    itself."""

    graphs: tuple[Graph, ...]
    signatures: tuple[Signature, ...] = ()
    description: str = ""
    metadata: Mapping[str, memoryview] = field(default_factory=dict, repr=False)
    format: str = "tflite"

    @property
    def main(self) -> Graph:
        return self.graphs[0]

    def __str__(self) -> str:
        return "\n".join(str(graph) for graph in self.graphs)
